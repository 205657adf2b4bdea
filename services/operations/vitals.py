"""What a process needs to do its work: is each part of it there, and how old is it?

The token service and the guard each say what their parts are; `operations.app` asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.wire.generation import LiveIdentity


@dataclass(frozen=True, slots=True)
class Part:
    """One part; a fresh look at it found it well or not."""

    name: str
    up: bool
    age: timedelta | None = None


class Vitals(Protocol):
    """The parts of one process."""

    async def parts(self) -> Sequence[Part]:
        """Look at every part, in seconds at most, and raise nothing."""


class IdentityVitals:
    """A certificate that is in date, which every process needs, and further parts."""

    def __init__(
        self,
        identity: LiveIdentity,
        clock: Callable[[], datetime],
        others: Vitals | None = None,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._others = others

    async def parts(self) -> Sequence[Part]:
        """Return whether the certificate of now can be presented, then the others."""
        ends = self._identity.current().not_after
        identity = Part("identity", up=self._clock() <= ends)
        others = await self._others.parts() if self._others else ()
        return [identity, *others]
