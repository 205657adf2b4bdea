"""The list of revocations, put together anew only when something has changed.

Every guard asks for it every few seconds, and it seldom changes: so a backend keeps a
revision, a random word written with each change. While that stands, the rows read
before are all there are, and only time can take one away. `sqlite` and `redis` hold one
each.
"""

from collections.abc import Iterable
from secrets import token_hex

from services.state.entry import id_from_bytes, until_of
from services.state.store import Revocations

NO_REVISION = ""  # of a backend in which nothing was ever revoked


def new_revision() -> str:
    """Return a revision that was never there: random, so that no restart repeats it."""
    return token_hex(8)


class Feed:
    """The rows of one revision: ids, and when each is over."""

    def __init__(
        self, revision: str = NO_REVISION, rows: Iterable[tuple[bytes, int]] = ()
    ) -> None:
        self.revision = revision
        self._rows = tuple(rows)
        self._made = _make(self._rows)

    def at(self, now: int) -> Revocations:
        """Return what is void at second `now`."""
        live = tuple(row for row in self._rows if row[1] > now)
        # At one moment the live ones contain those of every later moment, so as many
        # are the same.
        if len(live) != len(self._made.entries):
            self._made = _make(live)
        return self._made


def _make(rows: tuple[tuple[bytes, int], ...]) -> Revocations:
    return Revocations.of((id_from_bytes(name), until_of(over)) for name, over in rows)
