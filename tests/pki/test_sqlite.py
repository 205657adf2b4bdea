"""A ledger in SQLite: what holds for a file only, and files of earlier releases."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from pki.database import create_ledger, is_missing
from pki.engine import LedgerError, RuleError
from pki.entry import Event
from pki.ledger import BrokenLedgerError, Ledger, open_ledger, read_ledger
from pki.listed import Listed
from pki.sqlite import SqliteConnection
from pki.tables import VERSION
from tests.pki.builders import NOW
from tests.pki.old_ledger import PLANNED, by_the_first_release
from tests.pki.stores import fill, revoked, verify


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a ledger of three certificates, six entries."""
    path = tmp_path / "ledger.sqlite"
    create_ledger(path)
    fill(path)
    return path


def raw_of(ledger: Ledger) -> sqlite3.Connection:
    """Return SQLite's own connection."""
    assert isinstance(ledger.connection, SqliteConnection)
    return ledger.connection.raw


def test_write_ahead_log_and_full_synchronization(path: Path) -> None:
    """A commit that has returned survives a power cut."""
    with open_ledger(path) as ledger:
        ask = ledger.connection.execute
        assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
        assert ask("PRAGMA synchronous").fetchone() == (2,)


def test_file_is_private(path: Path) -> None:
    """Mode 0600, the side files of SQLite included."""
    with open_ledger(path) as ledger, ledger.transaction():
        ledger.append(replace(PLANNED, serial="4"))
        for file in path.parent.iterdir():
            assert file.stat().st_mode & 0o777 == 0o600, file


def test_missing_ledger_is_refused(tmp_path: Path) -> None:
    """Reading makes no ledger."""
    with (
        pytest.raises(LedgerError, match="there is no ledger"),
        open_ledger(tmp_path / "ledger"),
    ):
        pass
    assert is_missing(tmp_path / "ledger")
    assert not (tmp_path / "ledger").exists()


def test_ledger_cut_off_in_the_making_counts_as_missing(tmp_path: Path) -> None:
    """An empty file, as a crash between two steps leaves it, is completed."""
    path = tmp_path / "ledger"
    path.touch(mode=0o600)
    assert is_missing(path)
    create_ledger(path)
    assert not is_missing(path)


def test_unknown_version_is_refused(path: Path) -> None:
    """A ledger of a later release is not guessed at."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    with pytest.raises(LedgerError, match=f"version {VERSION + 1}"), open_ledger(path):
        pass


def test_other_file_is_refused(tmp_path: Path) -> None:
    """What is no database is no ledger."""
    path = tmp_path / "ledger"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(LedgerError, match="cannot be used"), open_ledger(path):
        pass


def test_questions_asked_for_each_certificate_use_an_index(path: Path) -> None:
    """A CA that has issued for years answers as fast as a new one."""
    asked: list[str] = []
    with open_ledger(path) as ledger:
        raw = raw_of(ledger)
        raw.set_trace_callback(asked.append)
        ledger.holders_of([f"{key:x}" for key in range(100)])
        ledger.newest_issued("orders@localhost")
        ledger.newest_issued("orders@localhost", spki_sha256="11")
        ledger.is_revoked_key("11")
        ledger.find(Event.ISSUED, issuer=PLANNED.issuer, serial="1")
        ledger.find(Event.REVOKED, issuer=PLANNED.issuer, serial="1")
        list(ledger.standing([f"{host}@localhost" for host in range(100)]))
        ledger.revocations("aa", ending=NOW)
        ledger.issued(after=NOW)
        ledger.revocations("aa", ending=NOW, after=7)
        Listed(ledger.connection, "aa").of("3", ending=NOW)
        raw.set_trace_callback(None)
        plans = [
            ledger.connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
            for statement in asked
        ]
    steps = [[line[-1] for line in plan] for plan in plans]
    assert len(steps) == 11
    for lines in steps[:7]:
        assert [line.split(" (")[0].rstrip(" 0123456789") for line in lines] in EACH
    for lines in steps[7:9]:  # for all that lasts, of which few are old
        assert lines[0].startswith("SEARCH entry USING INDEX entry_by_end")
    newer, shard = steps[9:]  # for what changed, or is in one list
    assert newer == [
        "SEARCH entry USING INDEX entry_revoked (authority=? AND sequence>?)"
    ]
    index = "sqlite_autoindex_listed_1 (authority=? AND scope=? AND not_after>?)"
    assert shard[0] == f"SEARCH listed USING COVERING INDEX {index}"
    assert shard[1] == "SEARCH entry USING INTEGER PRIMARY KEY (rowid=?)"


ASKED = ["CO-ROUTINE asked", "SCAN 100 CONSTANT ROWS", "SCAN asked"]
BY_KEY = "SEARCH entry USING INDEX entry_by_key"
BY_SERIAL = "SEARCH entry USING INDEX entry_by_serial"
EACH = [
    [*ASKED, BY_KEY, "USE TEMP B-TREE FOR ORDER BY"],
    ["SEARCH entry USING INDEX entry_by_identity"],
    [BY_SERIAL, "LIST SUBQUERY", BY_KEY, "USE TEMP B-TREE FOR ORDER BY"],
    [BY_KEY],
    [BY_SERIAL],
    ["SEARCH entry USING INDEX entry_revoked_once"],
    [
        *ASKED,
        "SEARCH entry USING INTEGER PRIMARY KEY",
        "CORRELATED SCALAR SUBQUERY",
        "SEARCH entry USING COVERING INDEX entry_by_identity",
        "CORRELATED SCALAR SUBQUERY",
        "SEARCH over USING INDEX entry_superseded_once",
        "CORRELATED SCALAR SUBQUERY",
        "SEARCH over USING INDEX entry_revoked_once",
    ],
]


def test_ledger_of_the_first_release_is_upgraded(tmp_path: Path) -> None:
    """Its chain stays valid, its head the same, and new entries follow it."""
    path = tmp_path / "ledger"
    by_the_first_release(path)
    with open_ledger(path) as ledger:
        before = ledger.verify()
        assert (before.entries, before.issued) == (2, 1)
        with ledger.transaction():
            ledger.append(revoked(PLANNED))
        assert ledger.hash_of(2) == before.head
    assert verify(path).entries == 3


def test_upgraded_and_new_ledger_have_the_same_tables(tmp_path: Path) -> None:
    """Nothing tells afterwards which release made the file."""
    by_the_first_release(tmp_path / "old")
    create_ledger(tmp_path / "new")
    schemas = []
    for name in ("old", "new"):
        with open_ledger(tmp_path / name) as ledger:
            rows = ledger.connection.execute(
                "SELECT type, name, sql FROM sqlite_master ORDER BY name"
            )
            schemas.append(
                [(kind, made, (sql or "").split()) for kind, made, sql in rows]
            )
    assert schemas[0] == schemas[1]


def test_upgraded_ledger_remembers_what_it_lacks(tmp_path: Path) -> None:
    """Whoever cut its end off before does not get rid of that by the upgrade."""
    path = tmp_path / "ledger"
    by_the_first_release(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TRIGGER entry_is_never_removed")
    connection.execute("DELETE FROM entry WHERE sequence = 2")
    connection.commit()
    connection.close()
    with open_ledger(path) as ledger:
        assert ledger.connection.highest() == 2
        with pytest.raises(BrokenLedgerError, match="after 1 are missing"):
            ledger.verify()


def test_upgraded_ledger_is_append_only(tmp_path: Path) -> None:
    """The rules move with the table."""
    path = tmp_path / "ledger"
    by_the_first_release(path)
    with open_ledger(path) as ledger:
        for statement in ("DELETE FROM entry", "UPDATE entry SET serial = '7'"):
            with pytest.raises(RuleError, match="append-only"):
                ledger.connection.execute(statement)
        assert ledger.verify().entries == 2


def test_reader_upgrades_nothing(tmp_path: Path) -> None:
    """It says that the ledger is of an earlier release, or that there is none."""
    old, gone = tmp_path / "old", tmp_path / "gone"
    by_the_first_release(old)
    with pytest.raises(LedgerError, match="version 1"), read_ledger(old):
        pass
    with pytest.raises(LedgerError, match="no ledger"), read_ledger(gone):
        pass
    assert not gone.exists()
