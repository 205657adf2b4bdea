"""What a process needs to do its work: is each part of it there, and how old is it?

The token service and the guard each say what their parts are; `operations.app` asks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from services.wire.generation import LiveIdentity
from services.wire.peer import PeerError
from services.wire.status import CertificateStatus


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
    """A certificate that is in date and not revoked, and further parts."""

    def __init__(
        self,
        identity: LiveIdentity,
        clock: Callable[[], datetime],
        others: Vitals | None = None,
        status: CertificateStatus | None = None,
    ) -> None:
        self._identity = identity
        self._clock = clock
        self._others = others
        self._status = status

    async def parts(self) -> Sequence[Part]:
        """Return whether the certificate of now can be presented, then the others."""
        ends = self._identity.current().not_after
        identity = Part("identity", up=self._clock() <= ends)
        others = await self._others.parts() if self._others else ()
        return [identity, *await self._certificates(), *others]

    async def _certificates(self) -> Sequence[Part]:
        """Return whether revocations are known, and the own certificate is none."""
        if self._status is None or not self._status.is_asked_for:
            return ()
        try:
            await self._status.check(self._identity.current().path)
        except PeerError:
            return [Part("certificate_status", up=False, age=self._status.age)]
        return [Part("certificate_status", up=True, age=self._status.age)]
