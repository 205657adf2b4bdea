"""A ledger in one file: SQLite, with a write-ahead log and full synchronisation.

A commit that has returned survives a power cut. `database` comes here.
"""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pki.engine import LedgerError, RuleError
from pki.tables import STEPS, VERSION, Effect, Loosened, Rule

_PATIENCE = 30.0  # seconds, while another process writes
_CACHE = 32 * 1024  # KiB at most: a batch that does not fit is written twice


class SqliteConnection:
    """An open file, as `engine.Connection`."""

    def __init__(self, raw: sqlite3.Connection) -> None:
        self.raw = raw

    def execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement."""
        try:
            return self.raw.execute(statement, values)
        except sqlite3.IntegrityError as error:
            raise RuleError(str(error)) from error

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row."""
        try:
            self.raw.executemany(statement, rows)
        except sqlite3.IntegrityError as error:
            raise RuleError(str(error)) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing; another writer waits from here on."""
        self.raw.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self.raw.in_transaction:  # a full disk has rolled back already
                self.raw.execute("ROLLBACK")
            raise
        self.raw.execute("COMMIT")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one moment's state."""
        within_another = self.raw.in_transaction
        if within_another:
            yield
            return
        self.raw.execute("BEGIN")
        try:
            yield
        finally:
            if self.raw.in_transaction:
                self.raw.execute("ROLLBACK")

    def highest(self) -> int:
        """Return what SQLite remembers of AUTOINCREMENT."""
        row = self.raw.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = 'entry'"
        ).fetchone()
        return row[0] if row else 0


def create(path: Path) -> None:
    """Make an empty file at `path`, for its owner's eyes only, if there is none."""
    # SQLite gives its side files the mode of the database, so that one decides.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    with _opened(path) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        _bring_up(raw)


def is_missing(path: Path) -> bool:
    """Return whether there is no file at `path`, or one whose making was cut off.

    Raises:
        LedgerError: there is something else.
    """
    if not path.exists():
        return True
    with _opened(path) as raw:
        return _version(raw) == 0


@contextmanager
def writing(path: Path) -> Iterator[SqliteConnection]:
    """Open the file at `path` to write in, brought to the present version.

    Raises:
        LedgerError: there is none, it is no ledger, or of an unknown version.
    """
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}")
    with _opened(path) as raw:
        if 0 < _version(raw) < VERSION:
            _bring_up(raw)
        _check_version(path, raw)
        yield SqliteConnection(raw)


@contextmanager
def reading(path: Path) -> Iterator[SqliteConnection]:
    """Open the file at `path` so that nothing can be written in it.

    Raises:
        LedgerError: there is none, it is no ledger, or not of the present version.
    """
    if not path.exists():
        raise LedgerError(f"there is no ledger at {path}")
    with _opened(path, "?mode=ro") as raw:
        _check_version(path, raw)
        yield SqliteConnection(raw)


@contextmanager
def _opened(path: Path, mode: str = "") -> Iterator[sqlite3.Connection]:
    raw = sqlite3.connect(
        f"{path.absolute().as_uri()}{mode}",
        isolation_level=None,
        timeout=_PATIENCE,
        uri=True,
        check_same_thread=False,  # SQLite itself lets one thread in at a time
    )
    try:
        raw.execute("PRAGMA synchronous = FULL")
        raw.execute(f"PRAGMA cache_size = -{_CACHE}")
        yield raw
    except sqlite3.DatabaseError as error:
        raise LedgerError(f"{path} cannot be used as a ledger: {error}") from error
    finally:
        raw.close()


def back_up(connection: SqliteConnection, path: Path) -> None:
    """Copy the file as it is at this moment to `path`, whoever writes meanwhile."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    with _opened(path) as copy:
        connection.raw.backup(copy)


def _bring_up(raw: sqlite3.Connection) -> None:
    """Make what the present version has and the file lacks, all or nothing."""
    raw.execute("BEGIN IMMEDIATE")
    for number in range(_version(raw) + 1, VERSION + 1):
        for part in STEPS[number]:
            if isinstance(part, Loosened):
                _loosen(raw, part)
            else:
                raw.execute(_statement(part))
        raw.execute(f"PRAGMA user_version = {number}")
    raw.execute("COMMIT")


def _loosen(raw: sqlite3.Connection, part: Loosened) -> None:
    """Copy a table into one without the constraint, which takes no other way.

    Row for row, with all indexes and rules, and with the highest number ever given.
    """
    table, new = part.table, f"new_{part.table}"
    made = dict(
        raw.execute(
            "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? AND sql NOT NULL",
            [table],
        )
    )
    raw.execute("PRAGMA legacy_alter_table = ON")  # rules elsewhere name the table
    loose = made.pop(table)
    for columns in part.unique:
        loose = _without(loose, columns)
    raw.execute(re.sub(rf'TABLE "?{table}"? ', f"TABLE {new} ", loose, count=1))
    raw.execute(f"INSERT INTO {new} SELECT * FROM {table} ORDER BY sequence")  # noqa: S608 - our own names
    raw.execute("DELETE FROM sqlite_sequence WHERE name = ?", [new])
    raw.execute("UPDATE sqlite_sequence SET name = ? WHERE name = ?", [new, table])
    raw.execute(f"DROP TABLE {table}")
    raw.execute(f"ALTER TABLE {new} RENAME TO {table}")
    for statement in made.values():
        raw.execute(statement)
    raw.execute("PRAGMA legacy_alter_table = OFF")


def _without(statement: str, columns: Sequence[str]) -> str:
    """Return what makes a table, without what says that columns are UNIQUE."""
    if len(columns) == 1:
        stated = f"{columns[0]} TEXT NOT NULL"
        return statement.replace(f"{stated} UNIQUE", stated)
    return re.sub(rf",\s*UNIQUE \({', '.join(columns)}\)", "", statement)


def _statement(part: str | Rule | Effect) -> str:
    if isinstance(part, Rule):
        condition = f" WHEN {part.when}" if part.when else ""
        return (
            f"CREATE TRIGGER {part.name} BEFORE {part.event} ON {part.table}"
            f"{condition} BEGIN SELECT RAISE(ABORT, '{part.message}'); END"
        )
    if isinstance(part, Effect):
        return (
            f"CREATE TRIGGER {part.name} AFTER INSERT ON {part.table}"
            f" WHEN {part.when} BEGIN {part.statement}; END"
        )
    return part


def _check_version(path: Path, raw: sqlite3.Connection) -> None:
    version = _version(raw)
    if version != VERSION:
        raise LedgerError(
            f"{path} has ledger version {version}, only {VERSION} is known"
        )


def _version(raw: sqlite3.Connection) -> int:
    version: int = raw.execute("PRAGMA user_version").fetchone()[0]
    return version
