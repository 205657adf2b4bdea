"""A service that asks for tokens, and an application that lies to it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx

from services.federation_config import TokenServiceAddress
from services.guard.outbound import BoundTokenAuth
from services.guard.token_source import HeldToken, TokenSource
from services.wire.client import IdentityTransport
from tests.services.documents import ISSUER, ORDERS_AUDIENCE
from tests.services.mesh import Instance
from tests.services.running import Clock


@dataclass
class Asking:
    """The storefront's tokens, over one connection to a token service."""

    url: str
    caller: Instance
    callee: Instance
    clock: Clock
    client_id: str = "storefront"

    async def source(self, work: Any) -> Any:
        """Return what `work` makes of a token source and the generation."""
        identity = self.caller.live(self.clock.seconds)
        transport = IdentityTransport(identity, self.callee.spiffe_id)
        address = TokenServiceAddress(
            issuer=ISSUER,
            token_endpoint=f"{self.url}/token",
            jwks_uri=f"{self.url}/jwks",
            spiffe_id=str(self.callee.spiffe_id),
        )
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            source = TokenSource(
                client,
                address=lambda: address,
                client_id=self.client_id,
                clock=self.clock,
            )
            return await work(source, identity)

    def run(self, work: Any) -> Any:
        """Run `work` to its end."""
        return asyncio.run(self.source(work))

    def token(self, resource: str = ORDERS_AUDIENCE, scope: str = "orders.read") -> Any:
        """Return one token."""

        async def work(source: TokenSource, identity: Any) -> HeldToken:
            return await source.token(resource, scope, identity.current())

        return self.run(work)


@dataclass
class Liar:
    """An application that answers every request alike, whoever it pretends to be."""

    status: int = 200
    body: bytes = b""
    asked: list[str] = field(default_factory=list)

    def answer(self, status: int, body: bytes = b"") -> None:
        """Answer like this from now on, to whoever asks for the first time."""
        self.status, self.body = status, body
        self.asked.clear()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        if scope["type"] != "http":
            return
        self.asked.append(dict(scope["headers"]).get(b"authorization", b"").decode())
        length = (b"content-length", str(len(self.body)).encode())
        await send(
            {
                "type": "http.response.start",
                "status": self.status,
                "headers": [length],
            }
        )
        await send({"type": "http.response.body", "body": self.body})


def call(asking: Asking, callee: Instance, url: str, **request: Any) -> int:
    """Return the status of one authorised request."""

    async def work(source: TokenSource, identity: Any) -> int:
        auth = BoundTokenAuth(
            source,
            identity,
            resource=ORDERS_AUDIENCE,
            scopes=frozenset({"orders.write", "orders.read"}),
        )
        transport = IdentityTransport(identity, callee.spiffe_id)
        async with httpx.AsyncClient(transport=transport, auth=auth) as client:
            return (
                await client.request(**{"method": "GET", **request}, url=url)
            ).status_code

    status: int = asking.run(work)
    return status
