"""Every certificate of this CA, in the order they came: append-only, hash-chained.

Two entries a certificate: `planned`, durable before the CA's key is used, and
`issued`, which holds the certificate and is durable before its bytes leave. So each
serial the key may ever have signed is known, whatever was killed when. `founding` and
`authority` write; `python -m pki ledger` reads.

Each entry's hash covers its own columns and the hash before it, so `verify` finds an
entry that was changed, removed, moved or put in between. What that does not prove: a
history rewritten *as a whole* by someone who may write the file verifies. Against that
the newest hash has to be kept elsewhere; `verify` returns it.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

from pki import clock
from pki.canonical import canonical_json
from pki.entry import Entry, Event
from pki.errors import PkiError

_VERSION = 1
_BEGINNING = "0" * 64  # stands for the entry before the first
_SCHEMA = """
CREATE TABLE entry (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    event TEXT NOT NULL,
    recorded_at TEXT NOT NULL,
    run_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    identity TEXT NOT NULL,
    spiffe_id TEXT NOT NULL,
    spki_sha256 TEXT NOT NULL,
    not_before TEXT NOT NULL,
    not_after TEXT NOT NULL,
    certificate TEXT,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    UNIQUE (issuer, serial, event)
);
CREATE INDEX entry_by_key ON entry (spki_sha256);
CREATE INDEX entry_by_identity ON entry (identity, event);
CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER entry_is_never_removed BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


class LedgerError(PkiError):
    """The ledger cannot be used."""

    code = "ledger_unusable"


class BrokenLedgerError(LedgerError):
    """An entry was changed, removed, moved or put in between."""

    code = "ledger_broken"


class SerialTakenError(LedgerError):
    """The issuer has given this serial before (RFC 5280, section 4.1.2.2)."""

    code = "serial_taken"


@dataclass(frozen=True, slots=True)
class VerifiedLedger:
    """What a whole chain of entries showed."""

    entries: int
    issued: int
    head: str  # the newest hash: whoever keeps it can tell a rewritten history


_STATED = tuple(field.name for field in fields(Entry))
_COLUMNS = ("sequence", *_STATED, "previous", "hash")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM entry"  # noqa: S608 - our own names
_INSERT = (
    f"INSERT INTO entry ({', '.join(_COLUMNS)}) "  # noqa: S608 - our own names
    f"VALUES ({', '.join('?' * len(_COLUMNS))})"
)


class Ledger:
    """An open ledger. One process writes at a time: it holds the CA's lock."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make all entries appended inside durable together, or none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def append(self, entry: Entry) -> None:
        """Add `entry` to the chain.

        Raises:
            SerialTakenError: the issuer has this event for this serial already.
        """
        newest = self._connection.execute(
            "SELECT sequence, hash FROM entry ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        sequence, previous = newest or (0, _BEGINNING)
        columns = {"sequence": sequence + 1, "previous": previous}
        columns |= {name: getattr(entry, name) for name in _STATED}
        columns["hash"] = _hash(columns)
        try:
            self._connection.execute(_INSERT, [columns[name] for name in _COLUMNS])
        except sqlite3.IntegrityError as error:
            raise SerialTakenError(
                f"{entry.issuer} has {entry.event} serial {entry.serial} before"
            ) from error

    def newest_moment(self) -> datetime | None:
        """Return when the last entry was recorded, None if there is none."""
        row = self._connection.execute(
            "SELECT recorded_at FROM entry ORDER BY sequence DESC LIMIT 1"
        ).fetchone()
        return clock.from_text(row[0]) if row else None

    def holder_of(self, spki_sha256: str) -> str | None:
        """Return the identity a key was first planned for, None if it is new."""
        row = self._connection.execute(
            "SELECT identity FROM entry WHERE spki_sha256 = ?"
            " ORDER BY sequence LIMIT 1",
            [spki_sha256],
        ).fetchone()
        return row[0] if row else None

    def newest_issued(
        self, identity: str, *, spki_sha256: str | None = None
    ) -> Entry | None:
        """Return the last certificate of `identity`, for the given key if one is."""
        return next(
            self._entries(
                "WHERE event = ? AND identity = ?"
                " AND spki_sha256 = ifnull(?, spki_sha256)"
                " ORDER BY sequence DESC LIMIT 1",
                [Event.ISSUED, identity, spki_sha256],
            ),
            None,
        )

    def entries(self) -> Iterator[Entry]:
        """Yield every entry, oldest first, without checking the chain."""
        return self._entries("ORDER BY sequence", [])

    def verify(self) -> VerifiedLedger:
        """Return what the whole chain shows, having recomputed each hash.

        1. Sequence numbers run from 1 without a gap.
        2. Each entry names the hash before it, and its own hash is right.
        3. No entry is gone from the end: SQLite remembers the highest number given.

        Raises:
            BrokenLedgerError: one of these does not hold; the message says where.
        """
        # One snapshot for all that is read: another process may be writing meanwhile.
        self._connection.execute("BEGIN")
        try:
            return self._verify()
        finally:
            self._connection.execute("ROLLBACK")

    def _verify(self) -> VerifiedLedger:
        previous, count, issued = _BEGINNING, 0, 0
        for row in self._connection.execute(f"{_SELECT} ORDER BY sequence"):
            columns = dict(zip(_COLUMNS, row, strict=True))
            count += 1
            if columns["sequence"] != count:  # 1
                raise BrokenLedgerError(f"entry {count} is missing")
            if columns["previous"] != previous:  # 2
                raise BrokenLedgerError(f"entry {count} does not follow the one before")
            previous = columns.pop("hash")
            if previous != _hash(columns):
                raise BrokenLedgerError(f"entry {count} was changed")
            issued += columns["event"] == Event.ISSUED
        highest = self._connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'entry'"
        ).fetchone()
        if (highest[0] if highest else 0) != count:  # 3
            raise BrokenLedgerError(f"entries after {count} are missing")
        return VerifiedLedger(count, issued, previous)

    def _entries(self, clause: str, values: list[str | None]) -> Iterator[Entry]:
        for row in self._connection.execute(f"{_SELECT} {clause}", values):
            columns = dict(zip(_COLUMNS, row, strict=True))
            stated = {name: columns[name] for name in _STATED}
            yield Entry(**{**stated, "event": Event(columns["event"])})


def create_ledger(path: Path) -> None:
    """Make an empty ledger at `path`, for its owner's eyes only, if there is none."""
    # SQLite gives its side files the mode of the database, so that one decides.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with _connected(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        if _version(connection) == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
            )


def is_missing(path: Path) -> bool:
    """Return whether there is no ledger at `path`, or one whose making was cut off.

    Raises:
        LedgerError: there is something else.
    """
    if not path.exists():
        return True
    with _connected(path) as connection:
        return _version(connection) == 0


@contextmanager
def open_ledger(path: Path) -> Iterator[Ledger]:
    """Open the ledger at `path` and close it afterwards.

    Raises:
        LedgerError: there is none, it is no ledger, or of an unknown version.
    """
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}")
    with _connected(path) as connection:
        if _version(connection) != _VERSION:
            raise LedgerError(
                f"{path} has ledger version {_version(connection)}, "
                f"only {_VERSION} is known"
            )
        yield Ledger(connection)


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        # WAL with FULL: a commit that has returned survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        yield connection
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path} cannot be used as a ledger: {error}") from error
    finally:
        connection.close()


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _hash(columns: dict[str, object]) -> str:
    try:
        return hashlib.sha256(canonical_json(columns)).hexdigest()
    except TypeError:  # a column turned into bytes: no entry of ours has that hash
        return ""
