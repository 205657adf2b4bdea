# ruff: noqa: ASYNC240 - a test may wait for the disk
"""Tests of what only `services.state.sqlite` and its file must hold to."""

import os
import sqlite3
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from services.state.sqlite import SqliteStore
from services.state.store import AlreadyClaimedError, StateUnavailableError
from tests.services.state.backends import Clock, after

pytestmark = pytest.mark.anyio

SCOPE = "https://localhost:8440"
Open = Callable[..., SqliteStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the file will be; the name would mislead a careless URL."""
    return tmp_path / "state?mode=memory#1%20.sqlite"


@pytest.fixture
def opened(path: Path) -> Open:
    """Return what opens a store that has little patience."""

    def open_it(scope: str = SCOPE, seconds: float = 0.02) -> SqliteStore:
        patience = timedelta(seconds=seconds)
        return SqliteStore(path, scope=scope, clock=Clock(), patience=patience)

    return open_it


@pytest.fixture
async def store(opened: Open) -> AsyncIterator[SqliteStore]:
    """Return a store whose file is there."""
    store = opened()
    await store.ping()
    yield store
    await store.aclose()


def companions(path: Path) -> list[Path]:
    """Return the file and what SQLite keeps beside it."""
    return sorted(file for file in path.parent.iterdir() if path.name in file.name)


async def test_the_file_is_its_owners_alone(store: SqliteStore, path: Path) -> None:
    """The file, its log and its index have mode 0600."""
    await store.claim("dpop", "jti", after(60))
    assert [file.name[len(path.name) :] for file in companions(path)] == [
        "",
        "-shm",
        "-wal",
    ]
    assert {file.stat().st_mode & 0o777 for file in companions(path)} == {0o600}


async def test_the_file_holds_no_handle(store: SqliteStore, path: Path) -> None:
    """Who steals the file finds neither an opaque token nor what was claimed."""
    await store.put_token("the-opaque-token", b"record", after(60))
    await store.claim("dpop", "the-jti-of-a-proof", after(60))
    content = b"".join(file.read_bytes() for file in companions(path))
    assert b"record" in content
    assert b"the-opaque-token" not in content
    assert b"the-jti-of-a-proof" not in content


async def test_a_file_that_others_may_use_is_refused(
    store: SqliteStore, opened: Open, path: Path
) -> None:
    """One right too many, and nothing works; taken away, it does."""
    path.chmod(0o640)
    late = opened()
    with pytest.raises(StateUnavailableError, match="for its owner alone"):
        await late.ping()
    path.chmod(0o600)
    await late.ping()
    await late.aclose()


@pytest.mark.parametrize("kind", ["link", "directory", "pipe"])
async def test_only_a_file_will_do(opened: Open, path: Path, kind: str) -> None:
    """The state is not where someone else's link leads, and nowhere stranger."""
    elsewhere = path.with_name("elsewhere")
    elsewhere.touch(0o600)
    {
        "link": lambda: path.symlink_to(elsewhere),
        "directory": lambda: path.mkdir(0o700),
        "pipe": lambda: os.mkfifo(path, 0o600),
    }[kind]()
    with pytest.raises(StateUnavailableError, match="for its owner alone"):
        await opened().ping()


async def test_the_state_of_another_issuer_is_refused(
    store: SqliteStore, opened: Open
) -> None:
    """Two issuers in one file would revoke each other's tokens."""
    with pytest.raises(StateUnavailableError, match=f"the state of {SCOPE}"):
        await opened("https://other.internal").ping()


async def test_another_schema_is_refused(
    store: SqliteStore, opened: Open, path: Path
) -> None:
    """A file of a later release is neither read nor changed."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StateUnavailableError, match="schema 2, not 1"):
        await opened().ping()


async def test_what_is_no_database_is_refused(opened: Open, path: Path) -> None:
    """A file of something else stays what it is."""
    path.touch(0o600)
    path.write_bytes(b"something else" * 100)
    with pytest.raises(StateUnavailableError, match="not a database"):
        await opened().ping()
    assert path.read_bytes() == b"something else" * 100


async def test_a_missing_directory_comes_back(tmp_path: Path) -> None:
    """A disk that is mounted late is used once it is there, by the same object."""
    path = tmp_path / "late" / "state.sqlite"
    store = SqliteStore(path, scope=SCOPE)
    with pytest.raises(StateUnavailableError, match="No such file"):
        await store.claim("dpop", "jti", after(60))
    path.parent.mkdir()
    await store.claim("dpop", "jti", after(60))
    await store.aclose()


async def test_a_lock_is_waited_for_and_then_refused(
    store: SqliteStore, path: Path
) -> None:
    """While another process holds the lock, what writes is refused, unwritten."""
    await store.revoke("before", after(60))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    for refused in (
        store.claim("dpop", "jti", after(60)),
        store.revoke("id", after(60)),
        store.put_token("handle", b"record", after(60)),
        store.ping(),
    ):
        with pytest.raises(StateUnavailableError, match="locked"):
            await refused
    assert await store.is_revoked("before")
    assert len((await store.revocations()).entries) == 1
    assert await store.get_token("handle") is None
    writer.execute("ROLLBACK")
    writer.close()
    assert not await store.is_revoked("id")
    await store.claim("dpop", "jti", after(60))


async def test_a_short_lock_is_not_noticed(opened: Open, path: Path) -> None:
    """Whoever finds another process writing waits, and others are served meanwhile."""
    store = opened(seconds=30)
    await store.ping()
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.claim, "dpop", "jti", after(60))
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
            assert not await store.is_revoked("id")
        writer.execute("ROLLBACK")
    writer.close()
    with pytest.raises(AlreadyClaimedError):
        await store.claim("dpop", "jti", after(60))
    await store.aclose()


async def test_a_revocation_is_flushed_and_a_claim_is_not(
    store: SqliteStore, path: Path
) -> None:
    """Only a revocation pays for surviving a power cut; afterwards all is as before."""
    connection = store._connection
    assert connection
    said: list[str] = []
    connection.set_trace_callback(said.append)
    await store.claim("dpop", "jti", after(60))
    assert not any("synchronous" in text for text in said)
    await store.revoke("id", after(60))
    levels = [text for text in said if "synchronous" in text]
    assert levels == ["PRAGMA synchronous = FULL", "PRAGMA synchronous = NORMAL"]
    assert said.index(levels[0]) < said.index("COMMIT") < said.index(levels[1])


async def test_a_ping_writes(store: SqliteStore, path: Path) -> None:
    """A file that can be opened may still take nothing: a ping finds out."""
    log = path.with_name(f"{path.name}-wal")
    before = log.read_bytes()
    await store.ping()
    assert log.read_bytes() != before


async def test_what_is_over_is_removed(path: Path) -> None:
    """The file does not grow with what nobody needs any more."""
    clock = Clock()
    store = SqliteStore(path, scope=SCOPE, clock=clock)
    for number in range(64):
        await store.claim("dpop", str(number), after(5))
        await store.put_token(str(number), b"record", after(5))
        await store.revoke(str(number), after(5))
    clock.forward(3600)
    for number in range(64):
        await store.claim("dpop", f"later {number}", clock() + timedelta(seconds=5))
    await store.aclose()
    with sqlite3.connect(path) as connection:
        assert [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
            for table in ("claim", "token", "revocation")
        ] == [64, 0, 0]
    connection.close()
