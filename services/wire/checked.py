"""Look up the certificate of each request that comes in, before anybody relies on it.

    app = CheckedCertificate(app, status=status, trust_domain="shop.internal")

An ASGI layer around everything else (`services.process`). What `wire.status` finds
wrong is put beside the certificate in the scope, and `wire.peer` raises it wherever a
peer is asked for: each room answers in its own way, and none can forget to look. What a
process tells to everybody whom TLS admits, it tells a revoked certificate too.

Certificates of other PKIs (`wire.tls`, `Anchors`) are looked up only if they name a
workload of a federated domain that says where it tells of revocations
(`wire.federation`). One that names a workload of our own trust domain by somebody
else's path is refused, since its own list would not be asked.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress

from starlette.types import ASGIApp, Receive, Scope, Send

from services.wire.federation import Federation
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
        self,
        app: ASGIApp,
        *,
        status: CertificateStatus,
        trust_domain: str,
        others: Federation | None = None,
    ) -> None:
        self._app = app
        self._status = status
        self._trust_domain = trust_domain
        self._others = others

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Look up the connection's certificate, and pass the request on."""
        if scope["type"] == "lifespan":
            return self._live(scope, receive, send)
        tls = (scope.get("extensions") or {}).get("tls") or {}
        if not tls.get("client_cert") or self._needs_no_look(tls):
            return self._app(scope, receive, send)
        return self._look(tls, scope, receive, send)

    def _needs_no_look(self, tls: dict[str, object]) -> bool:
        """Return whether it is one of ours, and nobody is asked about those."""
        return not tls.get(OUTSIDE) and not self._status.is_asked_for

    async def _look(
        self, tls: dict[str, object], scope: Scope, receive: Receive, send: Send
    ) -> None:
        tls[STATUS] = await self._verdict(tls)
        await self._app(scope, receive, send)

    async def _verdict(self, tls: dict[str, object]) -> PeerError | None:
        found = tls.get("client_cert_chain")
        chain = found if isinstance(found, tuple) else ()
        if not tls.get(OUTSIDE):
            return await self._status.verdict(chain, of="caller")
        named = presented_name(tls)
        domain = named.trust_domain if named else ""
        if domain == self._trust_domain and self._status.is_asked_for:
            return OutsidePeerError(f"{named} in a certificate of somebody else")
        if self._others is not None and self._others.has(domain):
            return await self._others.status(domain).verdict(chain, of="caller")
        return None

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Follow the lists for as long as the application lives."""
        known = [one for one in (self._status, self._others) if one is not None]
        following = [asyncio.create_task(one.follow()) for one in known]
        try:
            await self._app(scope, receive, send)
        finally:
            for task in following:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            for one in known:
                await one.aclose()
