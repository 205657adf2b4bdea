"""The database of a CA: entries, what is told of them, and what else is durable.

`ledger` and `published` stand on it. They share a database so that a revocation and
all that follows from it are one transaction. `tables` says what is in it. It is the
SQLite file at a path; or, if the path ends with `.json`, the PostgreSQL that the
document there names.
"""

from contextlib import AbstractContextManager
from pathlib import Path

from pki import place, sqlite, tables
from pki.engine import Connection


def create_ledger(path: Path) -> None:
    """Make an empty ledger at `path`, for its owner's eyes only, if there is none."""
    if _is_elsewhere(path):
        from pki import postgresql  # noqa: PLC0415 - as `writing`

        postgresql.create(place.read(path))
    else:
        sqlite.create(path)


def is_missing(path: Path) -> bool:
    """Return whether there is no ledger at `path`, or one whose making was cut off.

    Raises:
        LedgerError: there is something else.
    """
    if _is_elsewhere(path):
        from pki import postgresql  # noqa: PLC0415 - as `writing`

        return postgresql.is_missing(place.read(path))
    return sqlite.is_missing(path)


def writing(path: Path) -> AbstractContextManager[Connection]:
    """Open the ledger at `path` to write in, brought to the present version.

    Raises:
        LedgerError: there is none, it is no ledger, or of an unknown version.
    """
    if _is_elsewhere(path):
        # Its client takes longer to load than all else that reads a ledger.
        from pki import postgresql  # noqa: PLC0415

        return postgresql.writing(place.read(path))
    return sqlite.writing(path)


def reading(path: Path) -> AbstractContextManager[Connection]:
    """Open the ledger at `path` so that nothing can be written in it.

    Raises:
        LedgerError: there is none, it is no ledger, or not of the present version.
    """
    if _is_elsewhere(path):
        from pki import postgresql  # noqa: PLC0415 - as `writing`

        return postgresql.reading(place.read(path))
    return sqlite.reading(path)


def copy_to_file(connection: Connection, path: Path) -> None:
    """Copy what an open ledger holds at this moment into a new file at `path`.

    Raises:
        LedgerError: there is something at `path`, or it cannot be written.
    """
    if isinstance(connection, sqlite.SqliteConnection):
        sqlite.back_up(connection, path)
        return
    sqlite.create(path)
    with connection.snapshot(), sqlite.writing(path) as target:
        _copy_rows(connection, target)


def copy_from_file(path: Path, connection: Connection) -> None:
    """Copy all rows of the file at `path` into an open ledger that is empty.

    Raises:
        LedgerError: the file is no ledger of the present version, or the other one is
            not empty.
    """
    with sqlite.reading(path) as source:
        _copy_rows(source, connection)


def _copy_rows(source: Connection, target: Connection) -> None:
    with target.transaction():
        for table in tables.TABLES:
            rows = source.execute(f"SELECT * FROM {table}")  # noqa: S608 - our own names
            names = [column[0] for column in rows.description]
            marks = ", ".join("?" * len(names))
            into = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - as above
            for row in rows:
                target.execute(into, row)


def _is_elsewhere(path: Path) -> bool:
    return path.suffix == ".json"
