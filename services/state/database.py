"""The SQLite file of the shared state: made private, opened, its schema checked.

`sqlite.py` alone comes here. Nothing waits in SQLite: a file that another process is
writing to is `is_busy`, and how long that may last is for the caller to say.

What this does not prove: that nobody else reads the file. Its mode keeps out other
users, not root, and not a backup; so no token stands in it, only digests of handles.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.state.feed import NO_REVISION

_VERSION = 1
# `name` is a digest, or the id of a revoked token; `over` the first second in which a
# row counts no more.
_SCHEMA = """
CREATE TABLE claim (name BLOB PRIMARY KEY, over INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE revocation (name BLOB PRIMARY KEY, over INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE token (
    name BLOB PRIMARY KEY, over INTEGER NOT NULL, record BLOB NOT NULL
);
CREATE TABLE state (
    scope TEXT NOT NULL, revision TEXT NOT NULL, pings INTEGER NOT NULL
);
CREATE INDEX claim_by_end ON claim (over);
CREATE INDEX revocation_by_end ON revocation (over);
CREATE INDEX token_by_end ON token (over)
"""
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_OTHERS = 0o077  # any right of group or world


def connect(path: Path, scope: str) -> sqlite3.Connection:
    """Open the state of `scope` at `path`, making it if it is missing.

    Raises:
        sqlite3.Error: SQLite cannot, or the file is another scope's or release's.
        OSError: the file cannot be made, or is open to other users.
    """
    _make_private(path)
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=rw",  # a file that SQLite made would be open to others
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,  # one event loop, but maybe not where it was opened
    )
    try:
        _prepare(connection, scope)
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def transaction(db: sqlite3.Connection, kind: str) -> Iterator[None]:
    """Do all that is inside, or nothing: `DEFERRED` to read, `IMMEDIATE` to write."""
    db.execute(f"BEGIN {kind}")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # some failures end it by themselves
            db.execute("ROLLBACK")
        raise


def is_busy(error: Exception) -> bool:
    """Tell whether another connection is in the way, which passes."""
    code = getattr(error, "sqlite_errorcode", None)  # absent if Python itself refused
    return code is not None and code & 0xFF in _BUSY  # the rest of the bits is detail


def _make_private(path: Path) -> None:
    """Make the file with mode 0600; SQLite gives its companions the same mode."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, 0o600))
    except FileExistsError:
        # Looked at without opening it: to close it again would drop every lock that
        # this process has on it (https://www.sqlite.org/howtocorrupt.html, 2.2).
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_mode & _OTHERS:
            raise PermissionError("no regular file for its owner alone") from None


def _prepare(db: sqlite3.Connection, scope: str) -> None:
    [(mode,)] = db.execute("PRAGMA journal_mode = WAL").fetchall()
    if mode != "wal":
        raise sqlite3.OperationalError(f"no write-ahead log here, but {mode}")
    db.execute("PRAGMA synchronous = NORMAL")
    if _version(db) == 0:
        with transaction(db, "IMMEDIATE"):
            if _version(db) == 0:  # no other process was first
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute("INSERT INTO state VALUES (?, ?, 0)", (scope, NO_REVISION))
                db.execute(f"PRAGMA user_version = {_VERSION}")
    if _version(db) != _VERSION:
        raise sqlite3.DatabaseError(f"schema {_version(db)}, not {_VERSION}")
    [(owner,)] = db.execute("SELECT scope FROM state").fetchall()
    if owner != scope:
        raise sqlite3.DatabaseError(f"the state of {owner}, not of {scope}")


def _version(db: sqlite3.Connection) -> int:
    [(version,)] = db.execute("PRAGMA user_version").fetchall()
    return int(version)
