"""The database of a CA: entries, what is told of them, and what else is durable.

`ledger` and `published` stand on it. They share a database so that a revocation and
all that follows from it are one transaction. `tables` says what is in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pki import sqlite
from pki.engine import Connection


def create_ledger(path: Path) -> None:
    """Make an empty ledger at `path`, for its owner's eyes only, if there is none."""
    sqlite.create(path)


def is_missing(path: Path) -> bool:
    """Return whether there is no ledger at `path`, or one whose making was cut off.

    Raises:
        LedgerError: there is something else.
    """
    return sqlite.is_missing(path)


@contextmanager
def writing(path: Path) -> Iterator[Connection]:
    """Open the ledger at `path` to write in, brought to the present version.

    Raises:
        LedgerError: there is none, it is no ledger, or of an unknown version.
    """
    with sqlite.writing(path) as connection:
        yield connection


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """Open the ledger at `path` so that nothing can be written in it.

    Raises:
        LedgerError: there is none, it is no ledger, or not of the present version.
    """
    with sqlite.reading(path) as connection:
        yield connection
