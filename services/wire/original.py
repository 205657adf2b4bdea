"""The original caller behind a gateway: who stood at the edge (RFC 9440).

A gateway calls with its own certificate and with a token bound to that, so it is the
peer, and `wire.peer` and the guard see it as such. Whom it calls for, the token says
(RFC 8693). Which certificate that one showed at the edge is here: `wire.forwarded` has
taken it from a gateway that is trusted by name, and found it good by our own bundle.

Applications and their logs ask here. It opens nothing: no token is bound to it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from services.wire.peer import Peer, peer_of

ORIGINAL = "certbound.original"  # among the extensions of an ASGI scope


def original_of(
    scope: Mapping[str, Any], *, trust_domain: str, now: datetime
) -> Peer | None:
    """Return who stood at the edge, None for a request that came through no gateway.

    Raises:
        PeerError: as `peer_of`.
    """
    certificate = (scope.get("extensions") or {}).get(ORIGINAL)
    if certificate is None:
        return None
    edge = {"extensions": {"tls": certificate}}
    return peer_of(edge, trust_domain=trust_domain, now=now)
