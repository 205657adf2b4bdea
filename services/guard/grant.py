"""What a guarded application gets to see: who calls, and what the call may do.

Never the token: what the application does not hold, it cannot log, store or pass on.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from starlette.requests import HTTPConnection

from services.guard.errors import InsufficientScopeError
from services.wire.peer import Peer

_STATE = "grant"


class Grant(msgspec.Struct, frozen=True):
    """A request that the guard let through; only the guard makes one."""

    client_id: str
    subject: str
    scopes: frozenset[str]
    audience: str
    expires_at: datetime
    token_id: str
    bound: bool
    peer: Peer
    actor: Mapping[str, object] | None = None  # `act` (RFC 8693, section 4.1)

    @property
    def chain(self) -> tuple[str, ...]:
        """Who stands behind this call: the caller first, the subject last."""
        names, link = [], self.actor
        while isinstance(link, Mapping):
            names.append(str(link.get("sub")))
            link = link.get("act")  # type: ignore[assignment]  # JSON
        return (*names, self.subject)

    def require(self, scope: str) -> None:
        """Return if the grant holds `scope`.

        Raises:
            InsufficientScopeError: it does not; the guard makes it a 403.
        """
        if scope not in self.scopes:
            raise InsufficientScopeError(scope, self.scopes)


def grant_of(connection: HTTPConnection) -> Grant:
    """Return the grant of a request; serves as a FastAPI dependency as it is.

    Raises:
        RuntimeError: the request did not pass a guard. That is a mistake in how the
            application is put together, and it must not look like an empty grant.
    """
    grant = connection.scope.get("state", {}).get(_STATE)
    if not isinstance(grant, Grant):
        raise RuntimeError("GuardMiddleware does not guard this app")  # noqa: TRY004
    return grant
