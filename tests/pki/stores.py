"""An empty ledger of each engine, and someone who may write its database.

Fixtures hand out `Store`s; `store.path` is what the product opens.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from pki.database import create_ledger
from pki.entry import Entry, Event, Reason
from pki.ledger import VerifiedLedger, open_ledger, read_ledger
from tests.pki.old_ledger import PLANNED, issued
from tests.pki.postgres_server import PostgresServer


class Tampering(Protocol):
    """What someone can do who may write the database."""

    def execute(self, statement: str) -> Any:
        """Run a statement."""


@dataclass(frozen=True, slots=True)
class Store:
    """The ledger at a path; `server` has it if it is no file."""

    path: Path
    server: PostgresServer | None = None

    @property
    def engine(self) -> str:
        """Which it is."""
        return "postgresql" if self.server else "sqlite"

    def create(self) -> None:
        """Make its tables."""
        create_ledger(self.path)

    def fill(self) -> None:
        """Record three certificates, in six entries."""
        self.create()
        fill(self.path)

    @contextmanager
    def opened(self) -> Iterator[Tampering]:
        """Open the database as someone does who may write it."""
        if self.server:
            with self.server.connect_to(self.path) as postgres:
                yield postgres
            return
        connection = sqlite3.connect(self.path)
        yield connection
        connection.commit()
        connection.close()

    @contextmanager
    def tampering(self) -> Iterator[Tampering]:
        """Open it as someone does who takes the rules away first."""
        on = " ON entry" if self.server else ""
        with self.opened() as connection:
            for rule in ("entry_is_never_changed", "entry_is_never_removed"):
                connection.execute(f"DROP TRIGGER {rule}{on}")
            yield connection

    def forget_above(self, sequence: int) -> None:
        """Set what the database remembers as the highest number ever given."""
        with self.opened() as connection:
            if self.server:
                connection.execute("DROP TRIGGER mark_rises ON mark")
                where = "mark SET value = %d WHERE name = 'highest'"
            else:
                where = "sqlite_sequence SET seq = %d"
            connection.execute(f"UPDATE {where % sequence}")


def fill(path: Path) -> None:
    """Record three certificates, in six entries."""
    with open_ledger(path) as ledger:
        for serial in ("1", "2", "3"):
            planned = replace(PLANNED, serial=serial, spki_sha256=serial * 2)
            with ledger.transaction():
                ledger.append(planned)
            with ledger.transaction():
                ledger.append(issued(planned))


def verify(path: Path) -> VerifiedLedger:
    """Open and verify."""
    with read_ledger(path) as ledger:
        return ledger.verify()


def revoked(planned: Entry, reason: Reason = Reason.KEY_COMPROMISE) -> Entry:
    """Return the entry that ends the use of a certificate."""
    return replace(planned, event=Event.REVOKED, reason=reason)
