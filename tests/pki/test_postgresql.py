"""A ledger in PostgreSQL: what is demanded of the server, and when it fails."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from pki import clock, postgresql, tables
from pki.database import create_ledger, is_missing
from pki.engine import LedgerError, RuleError
from pki.ledger import open_ledger, read_ledger
from pki.rotation_steps import What
from services.enrolment.kept import KeptLedgers
from tests.pki.builders import (
    ADDRESSES,
    ISSUING_PASSPHRASE,
    ROOT_PASSPHRASE,
    Ca,
    number,
    policy_document,
    serials,
)
from tests.pki.command import pki
from tests.pki.old_ledger import PLANNED
from tests.pki.postgres_server import PostgresServer
from tests.pki.rotating import Rotating
from tests.pki.stores import Store, fill, verify


@pytest.fixture
def own(postgres: PostgresServer, tmp_path: Path) -> Store:
    """Return a ledger of three certificates."""
    store = Store(postgres.settle(tmp_path / "ledger.json"), postgres)
    store.create()
    fill(store.path)
    return store


def test_empty_database_has_no_ledger(postgres: PostgresServer, tmp_path: Path) -> None:
    """It is made when the CA is founded, and not by whoever opens it."""
    path = postgres.settle(tmp_path / "ledger.json")
    assert is_missing(path)
    with pytest.raises(LedgerError, match="no ledger"), open_ledger(path):
        pass
    with pytest.raises(LedgerError, match="no ledger"), read_ledger(path):
        pass
    create_ledger(path)
    assert not is_missing(path)


def test_one_process_writes_at_a_time(own: Store) -> None:
    """The second one begins when the first has ended, and sees what it wrote."""
    seen: list[int] = []

    def append(serial: str) -> None:
        with open_ledger(own.path) as ledger:
            seen.append(ledger.newest()[0])
            with ledger.transaction():
                ledger.append(replace(PLANNED, serial=serial))

    with open_ledger(own.path) as first:
        others = [threading.Thread(target=append, args=[f"{n + 10:x}"]) for n in (1, 2)]
        for other in others:
            other.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        with own.opened() as watching:
            while watching.execute(waiting).fetchone()[0] < 3:
                pass
        with first.transaction():
            first.append(replace(PLANNED, serial="ff"))
    for other in others:
        other.join()
    assert sorted(seen) == [7, 8]
    assert verify(own.path).entries == 9


@pytest.mark.parametrize("table", ["entry", "crl", "mark"])
def test_table_is_not_emptied_at_once(own: Store, table: str) -> None:
    """TRUNCATE asks no row, and is refused all the same."""
    with open_ledger(own.path) as ledger, pytest.raises(RuleError):
        ledger.connection.execute(f"TRUNCATE {table}")
    assert verify(own.path).entries == 6


def test_what_the_database_remembers_does_not_fall(own: Store) -> None:
    """The number that tells a ledger that was cut short."""
    with open_ledger(own.path) as ledger, pytest.raises(RuleError, match="rises"):
        ledger.connection.execute("UPDATE mark SET value = 1")


def test_commits_wait_for_the_disk(own: Store) -> None:
    """Whatever the server's own default is."""
    with open_ledger(own.path) as ledger:
        row = ledger.connection.execute("SHOW synchronous_commit").fetchone()
    assert row == ("on",)


def test_server_that_would_lose_a_commit_is_refused(tmp_path: Path) -> None:
    """Writing takes fsync; reading does not."""
    with PostgresServer.started("-c", "fsync=off") as server:
        path = server.settle(tmp_path / "ledger.json")
        create_ledger(path)
        with read_ledger(path) as ledger:
            assert ledger.newest()[0] == 0
        with pytest.raises(LedgerError, match="set fsync to on"), open_ledger(path):
            pass


def test_server_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    """What was committed is there after the restart; the rest of it is not."""
    with PostgresServer.started() as server:
        path = server.settle(tmp_path / "ledger.json")
        create_ledger(path)
        fill(path)

        def write_into_the_crash() -> None:
            with open_ledger(path) as ledger, ledger.transaction():
                ledger.append(replace(PLANNED, serial="ff"))
                server.kill()

        with pytest.raises(LedgerError, match="cannot be used"):
            write_into_the_crash()
        with pytest.raises(LedgerError, match="cannot be used"), open_ledger(path):
            pass
        server.start()
        assert verify(path).entries == 6


def test_wrong_password_is_not_told(own: Store, tmp_path: Path) -> None:
    """Neither it nor the right one stands in the message."""
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("correct horse\n")
    assert own.server
    text = own.path.read_text().replace(str(own.server.password), str(password))
    own.path.write_text(text)
    with (
        pytest.raises(LedgerError, match="authentication failed") as refused,
        open_ledger(own.path),
    ):
        pass
    assert "horse" not in str(refused.value)


def test_unknown_version_is_refused(own: Store) -> None:
    """A ledger of a later release is not guessed at."""
    with own.opened() as connection:
        connection.execute("UPDATE mark SET value = 99 WHERE name = 'version'")
    with pytest.raises(LedgerError, match="version 99"), open_ledger(own.path):
        pass


def test_earlier_version_is_brought_up(
    own: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a later version adds is made when it is opened for writing."""
    later = tables.VERSION + 1
    added = ("CREATE TABLE later (number INTEGER NOT NULL)",)
    monkeypatch.setitem(tables.STEPS, later, added)
    monkeypatch.setattr(postgresql, "VERSION", later)
    with (
        pytest.raises(LedgerError, match=f"version {later - 1}"),
        read_ledger(own.path),
    ):
        pass
    with open_ledger(own.path) as ledger:
        ledger.connection.execute("INSERT INTO later VALUES (?)", [2**40])
    assert verify(own.path).entries == 6


def test_whole_life_of_a_ca(postgres: PostgresServer, tmp_path: Path) -> None:
    """Founded, issuing, revoking, rotating, with no file for a ledger."""
    named = postgres.settle(tmp_path / "named.json")
    url = named.read_text().split('"')[3]
    directory = tmp_path / "ca"
    arguments = ("--ledger", url, "--ledger-password-file", postgres.password)
    founded = pki(
        *("init", "--directory", directory, *arguments),
        document=policy_document(addresses=ADDRESSES),
        passphrases={"root": ROOT_PASSPHRASE, "issuing": ISSUING_PASSPHRASE},
    )
    assert founded.answer["changed"]
    assert not list(directory.glob("*.sqlite*"))
    ca = Ca.at(directory)
    certificate = ca.one()
    assert ca.one("stock@localhost").serial_number != certificate.serial_number
    ca.revoke("orders@localhost")
    assert serials(ca.crl()) == {certificate.serial_number}
    before = number(ca.crl())
    ca.revoke("stock@localhost")
    assert number(ca.crl()) > before
    verified = pki("ledger", "verify", "--directory", directory)
    assert verified.answer["issued"] == 5
    rotating = Rotating(ca, What.ISSUING)
    rotating.begin()
    while rotating.phase:
        rotating.advance()
    again = pki(
        *("init", "--directory", directory),
        document=policy_document(addresses=ADDRESSES),
    )
    assert not again.answer["changed"]


def test_a_kept_connection_that_the_server_ends_is_made_again(own: Store) -> None:
    """As after a restart of the server: whoever reads then hears nothing of it."""
    kept = KeptLedgers(own.path, clock.utc_now)
    before = kept.read(lambda ledger: ledger)
    with own.opened() as raw:
        ended = raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND application_name = 'certbound'"
        )
        assert ended.fetchall()
    assert kept.read(lambda ledger: ledger.newest()[0])
    assert kept.read(lambda ledger: ledger) is not before
    kept.close()
