"""Which shard each revocation stands in: found by shard, whatever stands in others.

The ledger says what is revoked; this says in which list to look for it. `crl_series`
takes up what is new in the transaction that makes lists. Nothing leaves the table, and
how many shards there are is fixed for the life of a CA key.
"""

from collections.abc import Callable
from datetime import datetime

from pki import clock
from pki.engine import Connection
from pki.entry import Reason, Revocation

_REASONS = {reason.value: reason for reason in Reason}  # lists are long
COLUMNS = "sequence, serial, recorded_at, reason, not_after"  # of a revocation's entry


class Listed:
    """The shards of one authority."""

    def __init__(self, connection: Connection, authority: str) -> None:
        self._connection, self._authority = connection, authority

    def take_up(self, shard_of: Callable[[int], str]) -> None:
        """Write down the shard of all that was revoked since this was done last."""
        last = self._connection.execute(
            "SELECT MAX(sequence) FROM listed WHERE authority = ?", [self._authority]
        ).fetchone()
        newer = self._connection.execute(
            "SELECT sequence, serial, not_after FROM entry"
            " WHERE event = 'revoked' AND authority = ? AND sequence > ?",
            [self._authority, last[0] or 0],
        ).fetchall()
        for sequence, serial, not_after in newer:
            scope = shard_of(int(serial, 16))
            self._connection.execute(
                "INSERT INTO listed (authority, scope, not_after, sequence)"
                " VALUES (?, ?, ?, ?)",
                [self._authority, scope, not_after, sequence],
            )

    def of(self, scope: str, *, ending: datetime) -> list[Revocation]:
        """Return what stands in a shard and ends at `ending` or later."""
        rows = self._connection.execute(
            "SELECT entry.sequence, serial, recorded_at, reason, entry.not_after"
            " FROM listed JOIN entry ON entry.sequence = listed.sequence"
            " WHERE listed.authority = ? AND scope = ? AND listed.not_after >= ?"
            " ORDER BY listed.sequence",
            [self._authority, scope, clock.to_text(ending)],
        )
        return [read_revocation(row) for row in rows]


def read_revocation(row: tuple[int, str, str, str, str]) -> Revocation:
    """Return what stands in the `COLUMNS` of an entry."""
    sequence, serial, at, reason, not_after = row
    return Revocation(
        sequence,
        int(serial, 16),
        clock.from_text(at),
        _REASONS[reason],
        clock.from_text(not_after),
    )
