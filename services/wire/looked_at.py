"""Look up the certificate of the server at the other end, for each request to it.

`wire.client` makes its connections of these streams where it is given a
`CertificateStatus`. A connection whose certificate is revoked, or of unknown status, is
given up before the next byte goes out on it: when it is new, and when it was kept. On
one that was kept this says little of the server, which may have another certificate by
now and shows it to whoever connects anew: that is a `KeptConnectionError`.
"""

import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from services.wire.extension import chain_of
from services.wire.peer import RevokedCertificateError
from services.wire.status import CertificateStatus

_Options = Iterable[httpcore.SOCKET_OPTION] | None


class KeptConnectionError(httpcore.ConnectError):
    """What the server showed when it was connected to is revoked; nothing was sent."""


class LookingBackend(httpcore.AsyncNetworkBackend):
    """Connections as httpcore makes them, over TLS with a look at the certificate."""

    def __init__(self, status: CertificateStatus) -> None:
        self._status = status
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: _Options = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect; TLS begins with `start_tls`."""
        stream = await self._inner.connect_tcp(
            host, port, timeout, local_address, socket_options
        )
        return _Stream(stream, self._status)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._inner.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    """A connection; over TLS, one to a server whose chain is known."""

    def __init__(
        self,
        inner: httpcore.AsyncNetworkStream,
        status: CertificateStatus,
        chain: tuple[str, ...] | None = None,
    ) -> None:
        self._inner = inner
        self._status = status
        self._chain = chain
        self._answered = False  # and nothing was sent since

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> httpcore.AsyncNetworkStream:
        """Shake hands, and look at the certificate that was shown.

        Raises:
            httpcore.ConnectError: it is revoked, or that cannot be said.
        """
        inner = await self._inner.start_tls(ssl_context, server_hostname, timeout)
        shown = chain_of(inner.get_extra_info("ssl_object"))
        chain = tuple(map(ssl.DER_cert_to_PEM_cert, shown))
        stream = _Stream(inner, self._status, chain)
        try:
            await stream.look()
        except httpcore.ConnectError:
            await inner.aclose()
            raise
        return stream

    async def look(self) -> None:
        """Return if the server's certificate is not revoked.

        Raises:
            KeptConnectionError: it is, and this would be another request's first byte.
            httpcore.ConnectError: it is, or that cannot be said.
        """
        if self._chain is None:
            return
        refusal = await self._status.verdict(self._chain, of="callee")
        if refusal is None:
            return
        kept = self._answered and isinstance(refusal, RevokedCertificateError)
        # Not a WriteError: httpcore would go on and wait for an answer.
        error = KeptConnectionError if kept else httpcore.ConnectError
        raise error(f"the server's certificate: {refusal}")

    async def write(
        self,
        buffer: bytes,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> None:
        """Look, then send."""
        await self.look()
        self._answered = False
        await self._inner.write(buffer, timeout)

    async def read(
        self,
        max_bytes: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
    ) -> bytes:
        """Return what has come."""
        self._answered = True
        return await self._inner.read(max_bytes, timeout)

    async def aclose(self) -> None:
        """Close the connection."""
        await self._inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._inner.get_extra_info(info)
