"""Guarded services, running on real sockets beside a token service.

with guarded(tokens, serve, mesh.instance("orders"), directory) as orders:
orders.get(storefront, tokens.token(storefront))
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from services.guard.grant import grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.workload import Workload, read_service_config
from services.watched import Watched, file_stamp
from tests.services.documents import ISSUER, service_document, write
from tests.services.mesh import Instance, Running, Serve
from tests.services.running import Clock, Seen, Tokens, client_of, recorded


def workload(
    tokens: Tokens, instance: Instance, directory: Path, **changes: Any
) -> Workload:
    """Return `instance` as its own process sees it; its document is in `directory`.

    It is `orders` in all that is not said otherwise.
    """
    own = {
        "service": instance.service,
        "client_id": instance.service,
        "spiffe_id": str(instance.spiffe_id),
        "identity": str(instance.current),
        "token_service": {
            "issuer": ISSUER,
            "token_endpoint": f"{tokens.url}/token",
            "jwks_uri": f"{tokens.url}/jwks",
            "spiffe_id": str(tokens.instance.spiffe_id),
        },
    }
    document = write(directory, service_document(**{**own, **changes}))
    config = Watched(
        lambda: read_service_config(document),
        file_stamp(document),
        name="config",
        monotonic=tokens.clock.seconds,
    )
    live = instance.live(tokens.clock.seconds)
    return Workload(config, live, clock=tokens.clock)


@dataclass
class Service:
    """A running resource service."""

    running: Running
    instance: Instance
    seen: list[Seen]

    @property
    def url(self) -> str:
        """Its root."""
        return self.running.url

    def client(self, caller: Instance) -> httpx.Client:
        """Return a client that keeps its connection to the service."""
        return client_of(caller, self.instance, base_url=self.url)

    def get(
        self, caller: Instance, token: str, path: str = "/orders"
    ) -> httpx.Response:
        """Ask for `path` with a token, on a connection of the caller's."""
        with self.client(caller) as client:
            return client.get(path, headers=bearer(token))


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


def orders_app(own: Workload, clock: Clock) -> Starlette:
    """Return a guarded application as a newcomer would write it."""

    async def read(request: Request) -> Response:
        grant = grant_of(request)
        grant.require("orders.read")
        return JSONResponse({"caller": grant.client_id, "bound": grant.bound})

    async def write_(request: Request) -> Response:
        grant_of(request).require("orders.write")
        return JSONResponse({})

    routes = [Route("/orders", read), Route("/orders", write_, methods=["POST"])]
    app = Starlette(routes=routes)
    app.add_middleware(GuardMiddleware, workload=own, clock=clock)
    return app


def closing(app: ASGIApp, own: Workload) -> ASGIApp:
    """Return `app`, which closes its workload's connections when it stops."""

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await own.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    return closed


@contextmanager
def guarded(
    tokens: Tokens,
    serve: Serve,
    instance: Instance,
    directory: Path,
    *,
    app: Callable[[Workload], ASGIApp] | None = None,
    **changes: Any,
) -> Iterator[Service]:
    """Run a guarded service; `changes` are those of its configuration."""
    own = workload(tokens, instance, directory, **changes)
    made = app(own) if app else orders_app(own, tokens.clock)
    seen: list[Seen] = []
    with serve(closing(recorded(made, seen), own), instance) as running:
        yield Service(running, instance, seen)
