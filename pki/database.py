"""The ledger's file: one SQLite database for entries, revocation lists and answers.

`ledger` and `published` stand on it. They share a file so that a revocation and all
that follows from it are one transaction.

A file of the first version is brought to the second when it is opened: columns and
tables are added, no entry is touched, all in one transaction.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pki.errors import PkiError

_VERSION = 2
_FIRST = (  # as the first release made it; a new file is upgraded from there, too
    """
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
)""",
    "CREATE INDEX entry_by_key ON entry (spki_sha256)",
    "CREATE INDEX entry_by_identity ON entry (identity, event)",
    """
CREATE TRIGGER entry_is_never_changed BEFORE UPDATE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
    """
CREATE TRIGGER entry_is_never_removed BEFORE DELETE ON entry
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
)
_SECOND = (
    "ALTER TABLE entry ADD COLUMN reason TEXT",
    "ALTER TABLE entry ADD COLUMN authority TEXT",
    "CREATE INDEX entry_by_end ON entry (event, not_after)",
    # Where the certificates of one CA key say that their revocation is told.
    """
CREATE TABLE address (
    authority TEXT NOT NULL,
    url TEXT NOT NULL,
    shards INTEGER NOT NULL,
    PRIMARY KEY (authority, url)
)""",
    # The newest list of each scope: full, delta, or the number of a shard.
    """
CREATE TABLE crl (
    authority TEXT NOT NULL,
    scope TEXT NOT NULL,
    number INTEGER NOT NULL,
    covers INTEGER NOT NULL,
    this_update TEXT NOT NULL,
    next_update TEXT NOT NULL,
    der BLOB NOT NULL,
    base_number INTEGER,
    base_covers INTEGER,
    base_update TEXT,
    PRIMARY KEY (authority, scope)
)""",
    """
CREATE TRIGGER crl_number_rises BEFORE UPDATE ON crl
    WHEN NEW.number <= OLD.number
    BEGIN SELECT RAISE(ABORT, 'the number of a CRL must rise'); END""",
    """
CREATE TRIGGER crl_is_never_removed BEFORE DELETE ON crl
    BEGIN SELECT RAISE(ABORT, 'the number of a CRL would be forgotten'); END""",
    # OCSP answers signed in advance, one for each hash that requests are made with.
    """
CREATE TABLE answer (
    issuer TEXT NOT NULL,
    serial TEXT NOT NULL,
    digest TEXT NOT NULL,
    revoked INTEGER NOT NULL,
    this_update TEXT NOT NULL,
    next_update TEXT NOT NULL,
    not_after TEXT NOT NULL,
    der BLOB NOT NULL,
    PRIMARY KEY (issuer, serial, digest)
)""",
    "CREATE INDEX answer_by_end ON answer (not_after)",
    """
CREATE TRIGGER revoked_always_wins BEFORE INSERT ON answer
    WHEN NOT NEW.revoked AND EXISTS (
        SELECT 1 FROM entry
        WHERE issuer = NEW.issuer AND serial = NEW.serial AND event = 'revoked'
    )
    BEGIN SELECT RAISE(ABORT, 'the certificate is revoked'); END""",
    """
CREATE TRIGGER revoked_takes_answers_away AFTER INSERT ON entry
    WHEN NEW.event = 'revoked'
    BEGIN
        DELETE FROM answer WHERE issuer = NEW.issuer AND serial = NEW.serial;
    END""",
    """
CREATE TRIGGER answer_is_replaced_whole BEFORE UPDATE ON answer
    BEGIN SELECT RAISE(ABORT, 'an answer is replaced, never changed'); END""",
    # The newest hash of the chain, signed by the issuing CA.
    """
CREATE TABLE head (
    sequence INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    time TEXT NOT NULL,
    signature TEXT NOT NULL
)""",
)


class LedgerError(PkiError):
    """The ledger cannot be used."""

    code = "ledger_unusable"


def create_ledger(path: Path) -> None:
    """Make an empty ledger at `path`, for its owner's eyes only, if there is none."""
    # SQLite gives its side files the mode of the database, so that one decides.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with _opened(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        _bring_up(connection)


def is_missing(path: Path) -> bool:
    """Return whether there is no ledger at `path`, or one whose making was cut off.

    Raises:
        LedgerError: there is something else.
    """
    if not path.exists():
        return True
    with _opened(path) as connection:
        return _version(connection) == 0


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file at `path` to write in, brought to the present version.

    Raises:
        LedgerError: there is none, it is no ledger, or of an unknown version.
    """
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}")
    with _opened(path) as connection:
        if _version(connection) == 1:
            _bring_up(connection)
        _check_version(path, connection)
        yield connection


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file at `path` so that nothing can be written in it.

    Raises:
        LedgerError: there is none, it is no ledger, or not of the present version.
    """
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}")
    with _opened(path, "?mode=ro") as connection:
        _check_version(path, connection)
        yield connection


@contextmanager
def _opened(path: Path, mode: str = "") -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}{mode}", isolation_level=None, timeout=30, uri=True
    )
    try:
        # WAL with FULL: a commit that has returned survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        yield connection
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path} cannot be used as a ledger: {error}") from error
    finally:
        connection.close()


def _bring_up(connection: sqlite3.Connection) -> None:
    """Make what the present version has and the file lacks, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    steps = {0: (*_FIRST, *_SECOND), 1: _SECOND}
    for statement in steps.get(_version(connection), ()):
        connection.execute(statement)
    if _version(connection) in steps:
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _check_version(path: Path, connection: sqlite3.Connection) -> None:
    version = _version(connection)
    if version != _VERSION:
        raise LedgerError(
            f"{path} has ledger version {version}, only {_VERSION} is known"
        )


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
