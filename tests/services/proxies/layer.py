"""The layer alone: an ASGI request goes in, what the application saw comes out."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki.clock import utc_now
from services.wire.forwarded import ForwardedCertificate
from services.wire.generation import LiveIdentity
from services.wire.hops import Hop

Headers = Sequence[tuple[bytes, bytes]]

OK = ((b"content-type", b"text/plain"),)


@dataclass
class Seen:
    """What became of a request."""

    status: int = 0
    answered: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    scope: dict[str, Any] | None = None  # as the application got it, if it did

    @property
    def caller(self) -> bytes | None:
        """The certificate that the application takes for the caller's."""
        assert self.scope is not None, "the application was not asked"
        found = self.scope["extensions"]["tls"]["client_cert"]
        assert found is None or isinstance(found, bytes)
        return found


@dataclass
class Layer:
    """The layer of one process, with the hops it trusts."""

    identity: LiveIdentity
    hops: Collection[Hop]
    answer: Headers = OK
    now: datetime | None = None

    def __post_init__(self) -> None:
        """Put the layer around an application that notes what it sees."""
        self._seen = Seen()
        self._layer = ForwardedCertificate(
            self._application,
            identity=self.identity,
            hops=lambda: self.hops,
            clock=lambda: self.now or utc_now(),
        )

    def request(self, direct: x509.Certificate | None, headers: Headers) -> Seen:
        """Send a request over a connection with the certificate `direct`."""
        der = direct.public_bytes(Encoding.DER) if direct else None
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [(b"host", b"localhost"), *headers],
            "extensions": {"tls": {"client_cert": der, "tls_version": 0x0304}},
        }
        self._seen = Seen()
        asyncio.run(self._ask(scope))
        return self._seen

    async def _ask(self, scope: Any) -> None:
        await self._layer(scope, _receive, self._send)

    async def _application(self, scope: Any, _receive: Any, send: Any) -> None:
        self._seen.scope = scope
        await send(
            {"type": "http.response.start", "status": 200, "headers": self.answer}
        )
        await send({"type": "http.response.body", "body": b"good"})

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._seen.status = message["status"]
            self._seen.answered = dict(message["headers"])
        else:
            self._seen.body += message.get("body", b"")


async def _receive() -> Any:
    return {"type": "http.request", "body": b""}
