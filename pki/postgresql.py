"""A ledger in PostgreSQL, for a CA whose host may be lost.

What SQLite promises is demanded of the server: a commit that has returned is on its
disk (`synchronous_commit`, `fsync`), one process writes at a time (a lock of the
database's own, held while it is open for writing, across hosts), the tables refuse what
they refuse there. `database` comes here with what `place` says.

A connection that breaks off leaves a batch as a crash does: planned, or issued whole.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from pki.engine import LedgerError, RuleError
from pki.place import Place
from pki.tables import STEPS, VERSION, Effect, Loosened, Part, Rule

_LOCK = 0x43455254424F554E  # whoever holds it writes; any number that stays the same
_PATIENCE = 30  # seconds, while another process writes
_TYPES = {
    "INTEGER PRIMARY KEY AUTOINCREMENT": "BIGINT PRIMARY KEY",
    "INTEGER": "BIGINT",
    "TEXT": 'TEXT COLLATE "C"',  # byte for byte, whatever the database's language
    "BLOB": "BYTEA",
}
# What SQLite keeps by itself: the version, and the highest number ever given.
_MARKS = (
    "CREATE TABLE mark (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
    "INSERT INTO mark VALUES ('version', 0), ('highest', 0)",
    Rule("mark_rises", "UPDATE", "mark", "a mark rises", when="NEW.value < OLD.value"),
    Rule("mark_is_never_removed", "DELETE", "mark", "a mark stays"),
)
_HIGHEST = Effect(
    "highest_is_remembered",
    "entry",
    "TRUE",
    "UPDATE mark SET value = NEW.sequence WHERE name = 'highest'",
)


class PostgresConnection:
    """An open database, as `engine.Connection`."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw = raw

    def execute(
        self, statement: str, values: Sequence[object] = ()
    ) -> psycopg.Cursor[Any]:
        """Run one statement."""
        if values:
            statement = _with_places(statement)
        try:
            return self.raw.execute(statement, _taken(values) or None)
        except psycopg.IntegrityError as error:
            raise RuleError(_first_line(error)) from error

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for each row, in few turns to the server and back."""
        try:
            with self.raw.cursor() as cursor:
                cursor.executemany(_with_places(statement), map(_taken, rows))
        except psycopg.IntegrityError as error:
            raise RuleError(_first_line(error)) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write all or nothing."""
        with self.raw.transaction():
            yield

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one moment's state."""
        if self.raw.info.transaction_status is not TransactionStatus.IDLE:
            yield
            return
        self.raw.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            if not self.raw.broken:
                self.raw.execute("ROLLBACK")

    def highest(self) -> int:
        """Return what the mark says."""
        row = self.execute("SELECT value FROM mark WHERE name = 'highest'").fetchone()
        return row[0] if row else 0


def create(place: Place) -> None:
    """Make the tables of an empty ledger, if there are none."""
    with _opened(place) as connection:
        _lock(connection)
        _bring_up(connection)


def is_missing(place: Place) -> bool:
    """Return whether the database has no ledger in it.

    Raises:
        LedgerError: it cannot be asked.
    """
    with _opened(place) as connection:
        return _version(connection) == 0


@contextmanager
def writing(place: Place) -> Iterator[PostgresConnection]:
    """Open the ledger to write in, alone, brought to the present version.

    Raises:
        LedgerError: there is none, it is of an unknown version, another process has
            been writing for half a minute, or the server may lose a commit.
    """
    with _opened(place) as connection:
        _check_durable(connection)
        _lock(connection)
        if 0 < _version(connection) < VERSION:
            _bring_up(connection)
        _check_version(connection)
        yield connection


@contextmanager
def reading(place: Place) -> Iterator[PostgresConnection]:
    """Open the ledger so that nothing can be written in it.

    Raises:
        LedgerError: there is none, or not of the present version.
    """
    with _opened(place) as connection:
        connection.execute("SET default_transaction_read_only = on")
        _check_version(connection)
        yield connection


@contextmanager
def _opened(place: Place) -> Iterator[PostgresConnection]:
    try:
        raw = psycopg.connect(
            autocommit=True,
            connect_timeout=10,
            application_name="certbound",
            client_encoding="utf8",
            **place.parameters(),  # type: ignore[arg-type]  # all of them text
        )
        with raw:
            raw.execute("SET synchronous_commit = on")
            raw.execute(f"SET lock_timeout = '{_PATIENCE}s'")
            yield PostgresConnection(raw)
    except psycopg.Error as error:
        raise LedgerError(
            f"{place.url} cannot be used as a ledger: {_first_line(error)}"
        ) from error


def _with_places(statement: str) -> str:
    return statement.replace("%", "%%").replace("?", "%s")


def _taken(values: Sequence[object]) -> list[object]:
    return [int(value) if isinstance(value, bool) else value for value in values]


def _lock(connection: PostgresConnection) -> None:
    connection.execute("SELECT pg_advisory_lock(?)", [_LOCK])


def _check_durable(connection: PostgresConnection) -> None:
    for setting in ("fsync", "full_page_writes"):
        row = connection.execute(f"SHOW {setting}").fetchone()
        if row != ("on",):
            raise LedgerError(f"the server would lose a commit: set {setting} to on")


def _bring_up(connection: PostgresConnection) -> None:
    """Make what the present version has and the database lacks, all or nothing."""
    with connection.transaction():
        version = _version(connection)
        if version == 0:
            _make(connection, _MARKS)
        for number in range(version + 1, VERSION + 1):
            _make(connection, STEPS[number])
            if number == 1:
                _make(connection, (_HIGHEST,))
        if version < VERSION:
            connection.execute(
                "UPDATE mark SET value = ? WHERE name = 'version'", [VERSION]
            )


def _make(connection: PostgresConnection, parts: Sequence[Part]) -> None:
    for part in parts:
        for statement in _statements(part):
            connection.execute(statement)


def _statements(part: Part) -> Iterator[str]:
    if isinstance(part, Rule):
        refuse = (
            f"RAISE EXCEPTION '{part.message}'"
            " USING ERRCODE = 'integrity_constraint_violation';"
        )
        body = f"IF {part.when} THEN {refuse} END IF;" if part.when else refuse
        old_or_new = "OLD" if part.event == "DELETE" else "NEW"
        yield _function(part.name, f"{body} RETURN {old_or_new};")
        yield _trigger(part.name, f"BEFORE {part.event}", part.table)
        if part.event == "DELETE":  # SQLite has no other way to empty a table
            yield _trigger(
                f"{part.name}_at_once", "BEFORE TRUNCATE", part.table, "STATEMENT"
            )
    elif isinstance(part, Effect):
        body = f"IF {part.when} THEN {part.statement}; END IF; RETURN NEW;"
        yield _function(part.name, body)
        yield _trigger(part.name, "AFTER INSERT", part.table)
    elif isinstance(part, Loosened):
        for columns in part.unique:
            constraint = "_".join((part.table, *columns, "key"))
            yield f"ALTER TABLE {part.table} DROP CONSTRAINT {constraint}"
    else:
        yield _typed(part)


def _function(name: str, body: str) -> str:
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
        f" SET search_path FROM CURRENT AS $$ BEGIN {body} END $$"
    )


def _trigger(name: str, moment: str, table: str, each: str = "ROW") -> str:
    function = name.removesuffix("_at_once")
    return (
        f"CREATE TRIGGER {name} {moment} ON {table}"
        f" FOR EACH {each} EXECUTE FUNCTION {function}()"
    )


def _typed(statement: str) -> str:
    for ours, theirs in _TYPES.items():
        statement = statement.replace(f" {ours}", f" {theirs}")
    return statement


def _check_version(connection: PostgresConnection) -> None:
    version = _version(connection)
    if version == 0:
        raise LedgerError("there is no ledger in this database")
    if version != VERSION:
        raise LedgerError(
            f"the database has ledger version {version}, only {VERSION} is known"
        )


def _version(connection: PostgresConnection) -> int:
    row = connection.execute("SELECT to_regclass('mark')").fetchone()
    if row is None or row[0] is None:
        return 0
    row = connection.execute("SELECT value FROM mark WHERE name = 'version'").fetchone()
    return row[0] if row else 0


def _first_line(error: psycopg.Error) -> str:
    """Return what the server said, without the statement and its context."""
    said: str | None = error.diag.message_primary
    return said or str(error).partition("\n")[0]
