"""What the tests of the shared state stand on: a clock that they turn, two backends."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from services.state.open import open_store
from services.state.store import Store

NOON = datetime(2027, 1, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        """Return the moment that the test has chosen."""
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def after(seconds: float) -> datetime:
    """Return the moment so long after `NOON`."""
    return NOON + timedelta(seconds=seconds)


@dataclass
class Backend:
    """One place for shared state, empty at first, for any number of stores."""

    where: str | Path
    scope: str = field(default_factory=lambda: f"https://{uuid4()}.shop.internal")
    clock: Clock = field(default_factory=Clock)

    def open(self, clock: Callable[[], datetime] | None = None) -> Store:
        """Return another store on the same state, as another replica has it."""
        return open_store(self.where, scope=self.scope, clock=clock or self.clock)
