"""Tests of `services.state.password`: a password stands in a file of its owner's."""

from pathlib import Path

import pytest

from services.state.open import StateUrlError, open_store
from services.state.password import StatePasswordError, read_password
from services.state.store import StateUnavailableError
from tests.services.state.backends import Clock, after
from tests.services.state.redis_server import KEEPS_EVERYTHING, RedisServer

SCOPE = "https://localhost:8440"
PASSWORD = "hunter2 of an ö"


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that the product runs on."""
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file that holds the password as an editor leaves it."""
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


def test_the_end_of_the_line_is_no_part_of_it(file: Path) -> None:
    """What an editor adds is not sent."""
    assert read_password(file) == PASSWORD


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_password_for_others_to_read_is_refused(file: Path, mode: int) -> None:
    """Its mode grants nothing to anybody else."""
    file.chmod(mode)
    with pytest.raises(StatePasswordError, match="0600 is needed") as refusal:
        read_password(file)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("text", [b"", b"\n", b"hunter2\nhunter3\n", b"hunter2\x00"])
def test_what_is_no_line_is_refused(file: Path, text: bytes) -> None:
    """Nothing, two lines and what cannot be typed are no password."""
    file.write_bytes(text)
    with pytest.raises(StatePasswordError, match="one line of text") as refusal:
        read_password(file)
    assert "hunter2" not in str(refusal.value)


def test_bytes_that_are_no_text_are_refused(file: Path) -> None:
    """The refusal shows none of them."""
    file.write_bytes(b"hunter2\xff")
    with pytest.raises(StatePasswordError) as refusal:
        read_password(file)
    assert "hunter2" not in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message says which file was looked for."""
    with pytest.raises(StatePasswordError, match="none: FileNotFoundError"):
        read_password(tmp_path / "none")


@pytest.mark.parametrize("where", ["/var/state.sqlite", "sqlite:///var/state.sqlite"])
def test_sqlite_has_no_password(file: Path, where: str) -> None:
    """A file beside a store that has no use for it is a mistake."""
    with pytest.raises(StateUrlError, match="not for sqlite"):
        open_store(where, scope=SCOPE, password=file)


def test_one_password_is_enough(file: Path) -> None:
    """With one in the URL and one in a file, which counts is not guessed at."""
    with pytest.raises(StateUrlError, match="another in a file"):
        open_store("redis://:hunter3@localhost", scope=SCOPE, password=file)


@pytest.mark.anyio
async def test_redis_takes_it(file: Path) -> None:
    """The server that demands it lets in who has the file, and nobody else."""
    options = (*KEEPS_EVERYTHING, "--requirepass", PASSWORD)
    with RedisServer.started(options) as server:
        store = open_store(server.url, scope=SCOPE, clock=Clock(), password=file)
        stranger = open_store(server.url, scope=SCOPE, clock=Clock())
        await store.claim("dpop", "any", after(60))
        with pytest.raises(StateUnavailableError):
            await stranger.claim("dpop", "other", after(60))
        await store.aclose()
        await stranger.aclose()
