"""The face of the database below the ledger, whichever engine it is.

`ledger`, `published` and whoever else has tables in it write one SQL that every engine
takes, with `?` for values; what differs between engines is a method here. `sqlite` and
`postgresql` have the face; `database` opens the one that a CA has.

SQL that is portable: `ON CONFLICT`, no `INSERT OR REPLACE`, no booleans (0 and 1), text
compared byte for byte.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from pki.errors import PkiError


class LedgerError(PkiError):
    """The ledger cannot be used."""

    code = "ledger_unusable"


class RuleError(LedgerError):
    """A rule of the tables stands against a row: taken, append-only, must rise."""

    code = "ledger_rule"


class Rows(Protocol):
    """What a statement found, row after row."""

    @property
    def description(self) -> Any:
        """What the columns are: the name of each comes first."""

    def fetchone(self) -> Any:
        """Return the next row as a tuple, None after the last."""

    def fetchall(self) -> list[Any]:
        """Return all that are left."""

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """An open database. Outside of a transaction each statement is one of its own."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> Rows:
        """Run one statement with its values.

        Raises:
            RuleError: a rule of the tables refuses what is to be written.
        """

    def execute_many(self, statement: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement that finds nothing, once for the values of each row.

        Raises:
            RuleError: a rule of the tables refuses one of the rows. What was written
                before it is for the transaction around to take back.
        """

    def transaction(self) -> AbstractContextManager[None]:
        """Make all that is written inside durable together, or none of it.

        One transaction at a time, over all processes: another one waits.
        """

    def snapshot(self) -> AbstractContextManager[None]:
        """Read one moment's state inside, whoever writes meanwhile; write nothing.

        Inside of another one it is that one's moment.
        """

    def highest(self) -> int:
        """Return the highest number that any entry was given, 0 before the first.

        The database remembers it apart from the entries.
        """
