"""The client: HTTP to one service, with today's certificate.

`guard.outbound` and the token service's clients put an `IdentityTransport` under an
`httpx.AsyncClient`. Every connection shows the certificate of the generation that its
request is meant for: a token bound to the new certificate (RFC 8705, section 3) would
be refused on a pooled connection that was made with the old one.

The server's chain, host name and SPIFFE ID are checked by `wire.tls` (RFC 6750, section
5.2), and that it is not revoked by `wire.looked_at`. No proxy is used and no
environment is read, since either could lead the request elsewhere; redirects are for
the client above to refuse, and httpx does unless told.
"""

import ssl
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from functools import partial

import httpcore
import httpx
from cryptography import x509

from pki.identity import SpiffeId
from pki.trust import TrustBundle
from services.wire.generation import Generation, LiveIdentity
from services.wire.looked_at import KeptConnectionError, LookingBackend
from services.wire.status import CertificateStatus
from services.wire.tls import client_context

GENERATION = "certbound.generation"  # the request extension that pins a generation

# Kept for less time than `wire.server` does, so that this end closes an idle one first
# and no request crosses with the server's goodbye.
_LIMITS = httpx.Limits(
    max_connections=100, max_keepalive_connections=20, keepalive_expiry=30
)
_Key = tuple[str, str, tuple[x509.Certificate, ...]]


class IdentityTransport(httpx.AsyncBaseTransport):
    """Mutual TLS to `expected`, from whatever `identity` is at each request.

    A request whose extensions hold a `Generation` under `GENERATION` goes out with that
    one, so that its sender can be sure which certificate its token met.

    Somebody of another trust domain is met by the bundle that `trust` returns for each
    request, and by no root of ours (`wire.federation`). Certificates are looked up in
    `status`, that of the same domain, if there is one.
    """

    def __init__(
        self,
        identity: LiveIdentity,
        expected: SpiffeId,
        trust: Callable[[], TrustBundle] | None = None,
        status: CertificateStatus | None = None,
    ) -> None:
        self._identity = identity
        self._expected = expected
        self._trust = trust
        self._status = status
        self._pools: list[_Pool] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` on a connection made with its generation.

        Raises:
            httpx.ConnectError: the server is another than expected, among others.
            httpx.ReadError: the server refuses our certificate, among others.
        """
        pinned = request.extensions.get(GENERATION)
        current = self._identity.current()
        pool = self._pool(pinned if isinstance(pinned, Generation) else current)
        pool.busy += 1
        try:
            await self._close_idle(current)
            response = await pool.send(request)
        except ssl.SSLError as error:
            # With TLS 1.3 a server refuses our certificate when we have shaken hands
            # already, and no layer below makes an error of HTTP of its alert.
            await self._release(pool)
            raise httpx.ReadError(f"the server ends TLS: {error}") from error
        except BaseException:
            await self._release(pool)
            raise
        if not isinstance(response.stream, AsyncIterable):  # pragma: no cover
            raise TypeError("the inner transport's body is not asynchronous")
        return httpx.Response(
            status_code=response.status_code,
            headers=response.headers,
            stream=_Body(response.stream, partial(self._release, pool)),
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        pools, self._pools = self._pools, []
        for pool in pools:
            await pool.transport.aclose()

    def _pool(self, generation: Generation) -> "_Pool":
        key = self._key(generation)
        for pool in self._pools:
            if pool.key == key:
                return pool
        try:
            trust = self._trust() if self._trust else None
            context = client_context(generation, self._expected, trust)
        except (ssl.SSLError, OSError) as error:
            raise httpx.ConnectError(
                f"generation {generation.serial:x} cannot be used: {error}"
            ) from error
        pool = _Pool(key, context, self._status)
        self._pools.append(pool)
        return pool

    async def _release(self, pool: "_Pool") -> None:
        pool.busy -= 1
        await self._close_idle(self._identity.current())

    async def _close_idle(self, current: Generation) -> None:
        """Close what was made with another generation and carries no request."""
        for pool in [*self._pools]:
            if not pool.busy and pool.key != self._key(current) and pool in self._pools:
                self._pools.remove(pool)
                await pool.transport.aclose()

    def _key(self, generation: Generation) -> _Key:
        """Return what two requests must have in common to share a connection."""
        roots = self._trust().roots if self._trust else ()
        return generation.thumbprint, generation.bundle, roots


class _Pool:
    """The connections made with one generation, and one bundle."""

    def __init__(
        self, key: _Key, context: ssl.SSLContext, status: CertificateStatus | None
    ) -> None:
        self.key = key
        self.busy = 0
        self.transport = httpx.AsyncHTTPTransport(
            verify=context, trust_env=False, limits=_LIMITS
        )
        if status is not None:
            # httpx does not say how its connections are made; nothing is open yet.
            self.transport._pool = httpcore.AsyncConnectionPool(  # noqa: SLF001
                ssl_context=context,
                max_connections=_LIMITS.max_connections,
                max_keepalive_connections=_LIMITS.max_keepalive_connections,
                keepalive_expiry=_LIMITS.keepalive_expiry,
                network_backend=LookingBackend(status),
            )

    async def send(self, request: httpx.Request) -> httpx.Response:
        """Send on a connection that was kept, or on a new one.

        A server has a new certificate before its old one is revoked: connections that
        show the old one end here, one after the other, and the request goes on.
        """
        while True:
            try:
                return await self.transport.handle_async_request(request)
            except httpx.ConnectError as error:
                if not isinstance(error.__cause__, KeptConnectionError):
                    raise


class _Body(httpx.AsyncByteStream):
    """A response's body that says when it has been read or given up."""

    def __init__(
        self, body: AsyncIterable[bytes], done: Callable[[], Awaitable[None]]
    ) -> None:
        self._body = body
        self._done: Callable[[], Awaitable[None]] | None = done

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._body:
            yield part

    async def aclose(self) -> None:
        """Give the connection back; only the first call counts."""
        done, self._done = self._done, None
        if done is None:
            return
        try:
            if isinstance(self._body, httpx.AsyncByteStream):
                await self._body.aclose()
        finally:
            await done()
