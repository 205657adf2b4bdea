"""Look up the certificate of each request that comes in, before anybody relies on it.

    app = CheckedCertificate(app, status=status, trust_domain="shop.internal")

An ASGI layer around everything else (`services.process`). What `wire.status` finds
wrong is put beside the certificate in the scope, and `wire.peer` raises it wherever a
peer is asked for: each room answers in its own way, and none can forget to look. What a
process tells to everybody whom TLS admits, it tells a revoked certificate too.

Certificates of other PKIs (`wire.tls`, `Anchors`) are not looked up: their lists are
not ours. One that names a workload of our own trust domain by somebody else's path is
refused, since its own list would not be asked.
"""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from services.wire.peer import (
    OUTSIDE,
    STATUS,
    OutsidePeerError,
    PeerError,
    presented_name,
)
from services.wire.status import CertificateStatus


class CheckedCertificate:
    """Let `app` see which certificates are not to be relied on."""

    def __init__(
        self, app: ASGIApp, *, status: CertificateStatus, trust_domain: str
    ) -> None:
        self._app = app
        self._status = status
        self._trust_domain = trust_domain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look up the connection's certificate, and pass the request on."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        tls = (scope.get("extensions") or {}).get("tls") or {}
        if tls.get("client_cert") and self._status.is_asked_for:
            tls[STATUS] = await self._verdict(tls)
        await self._app(scope, receive, send)

    async def _verdict(self, tls: dict[str, object]) -> PeerError | None:
        chain = tls.get("client_cert_chain")
        if not tls.get(OUTSIDE):
            found = chain if isinstance(chain, tuple) else ()
            return await self._status.verdict(found, of="caller")
        named = presented_name(tls)
        if named is not None and named.trust_domain == self._trust_domain:
            return OutsidePeerError(f"{named} in a certificate of somebody else")
        return None

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Follow the lists for as long as the application lives."""
        following = asyncio.create_task(self._status.follow())
        try:
            await self._app(scope, receive, send)
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await self._status.aclose()
