"""Processes whose documents name the ports they got: replicas, and proofs of URIs.

    with replicas(mesh, serve, directory, 2, store=url) as (first, second):
        with standing(first, serve, mesh.instance("orders"), directory) as orders: ...

A DPoP proof names a URI, so the issuer of `replicas` is where the first one listens and
the origin of a `standing` service is its own port. Replicas share one clock and one
store, and each asks the others for their keys.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from services.config import TokenServiceConfig, read_config
from services.guard.workload import Workload
from services.token.app import create_app
from services.token.registry import Registry
from services.token.siblings import Sibling
from services.watched import Watched, file_stamp
from tests.services.documents import (
    ORDERS_AUDIENCE,
    client_document,
    token_service_document,
    write,
)
from tests.services.guarding import orders_app, workload
from tests.services.mesh import Instance, Mesh, Running, Serve
from tests.services.running import (
    Clock,
    Seen,
    Tokens,
    client_of,
    recorded,
    registrations,
)


@dataclass
class Late:
    """An application that comes after its server, and what to do when both stop."""

    app: ASGIApp | None = None
    closing: list[Callable[[], Any]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass requests on."""
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for close in self.closing:
                await close()
            await send({"type": "lifespan.shutdown.complete"})
            return
        assert self.app
        await self.app(scope, receive, send)


@dataclass
class TokenService(Tokens):
    """A replica, which can be stopped before the others."""

    issuer: str = ""
    stop: Callable[[], None] = lambda: None

    def address(self) -> dict[str, Any]:
        """Return the part of a service's document that says where this replica is."""
        return {
            "issuer": self.issuer,
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "revocations_uri": f"{self.url}/revocations",
            "spiffe_id": str(self.instance.spiffe_id),
        }

    def post(
        self,
        caller: Instance,
        path: str,
        headers: Any = None,
        **form: str,
    ) -> httpx.Response:
        """Send any form to any endpoint."""
        with self.client(caller) as client:
            return client.post(path, data=form, headers=headers)


def known() -> dict[str, Any]:
    """Return the clients of the sample topology, each kind of binding and format."""
    return {
        **registrations(),
        "dpop": client_document(binding="dpop"),
        "opaque": client_document(format="opaque"),
        "stock": client_document(
            tls_client_auth={"san_uri": "spiffe://shop.internal/service/stock"},
            audience="https://stock.shop.internal",
        ),
    }


@contextmanager
def replicas(  # noqa: PLR0913 - each is one thing that a test chooses
    mesh: Mesh,
    serve: Serve,
    directory: Path,
    count: int = 1,
    *,
    clients: dict[str, Any] | None = None,
    store: str | None = None,
) -> Iterator[Sequence[TokenService]]:
    """Run `count` token services behind one issuer, with state of their own.

    What they share stands at `store`; without one, in a file in `directory`.
    """
    directory.mkdir(exist_ok=True)
    clock = Clock()
    made = []
    with ExitStack() as opened:
        places = []
        for _ in range(count):
            late, instance, stack = Late(), mesh.instance("token-service"), ExitStack()
            running = stack.enter_context(serve(late, instance))
            opened.push(stack)
            places.append((late, instance, stack, running))
        issuer = places[0][3].url
        for number, (late, instance, stack, running) in enumerate(places):
            home = directory / f"replica-{number}"
            (home / "state").mkdir(parents=True)
            others = [other.url for *_, other in places if other is not running]
            document = write(
                home,
                token_service_document(
                    issuer=issuer,
                    identity=str(instance.current),
                    state=str(home / "state"),
                    store=store or str(directory / "shared.sqlite"),
                    clients=clients or known(),
                    replicas=[
                        {
                            "jwks_uri": f"{url}/jwks/own",
                            "spiffe_id": str(instance.spiffe_id),
                        }
                        for url in others
                    ],
                ),
            )
            seen: list[Seen] = []
            before: list[Callable[[], object]] = []
            _start(late, document, instance, clock, seen, before)
            made.append(
                TokenService(
                    running,
                    instance,
                    document,
                    clock,
                    seen,
                    before,
                    issuer,
                    stack.close,
                )
            )
        yield made
        for _, _, _, running in places:
            running.server.should_exit = True  # none waits for another's goodbye


def _start(  # noqa: PLR0913, PLR0917 - what a process is made of
    late: Late,
    document: Path,
    instance: Instance,
    clock: Clock,
    seen: list[Seen],
    before: list[Callable[[], object]],
) -> None:
    read = partial(_read, document)
    config = Watched(read, file_stamp(document), name="config", monotonic=clock.seconds)
    live = instance.live(clock.seconds)

    siblings = tuple(
        Sibling(replica, live, clock) for replica in config.current().replicas
    )
    registry = Registry(config, live, clock=clock)
    app = create_app(config, registry=registry, siblings=siblings, clock=clock)

    async def close() -> None:
        async with app.router.lifespan_context(app):
            pass

    late.closing.append(close)
    late.app = recorded(app, seen, before)


def _read(document: Path) -> TokenServiceConfig:
    config = read_config(document)
    assert isinstance(config, TokenServiceConfig)
    return config


@dataclass
class Standing:
    """A running resource service, and its own view of itself."""

    running: Running
    instance: Instance
    workload: Workload
    seen: list[Seen]

    @property
    def url(self) -> str:
        """Its root, which is what proofs for it name."""
        return self.running.url

    def client(self, caller: Instance) -> httpx.Client:
        """Return a client that keeps its connection to the service."""
        return client_of(caller, self.instance, base_url=self.url)

    def ask(
        self, caller: Instance, headers: Any, path: str = "/orders"
    ) -> httpx.Response:
        """Ask for `path`, on a connection of the caller's."""
        with self.client(caller) as client:
            return client.get(path, headers=headers)


@contextmanager
def standing(  # noqa: PLR0913 - each is one thing that a test chooses
    tokens: TokenService,
    serve: Serve,
    instance: Instance,
    directory: Path,
    *,
    app: Callable[[Workload], ASGIApp] | None = None,
    guard: dict[str, Any] | None = None,
    **changes: Any,
) -> Iterator[Standing]:
    """Run a guarded service that takes DPoP; it is `orders` in all that is not said."""
    directory.mkdir(exist_ok=True)
    late, seen = Late(), list[Seen]()
    with serve(late, instance) as running:
        demands = {
            "audience": ORDERS_AUDIENCE,
            "resource": "/orders",
            "scopes": ["orders.read"],
            "bearer_clients": [],
            "origins": [running.url],
        }
        own = workload(
            tokens,
            instance,
            directory,
            **{
                "token_service": tokens.address(),
                "state": str(directory),
                **changes,
            },
            guard={**demands, **(guard or {})},
        )
        late.app = recorded(app(own) if app else orders_app(own, tokens.clock), seen)
        late.closing.append(own.aclose)
        yield Standing(running, instance, own, seen)


def calling(
    tokens: TokenService, instance: Instance, directory: Path, **changes: Any
) -> Workload:
    """Return a workload that only calls."""
    directory.mkdir(exist_ok=True)
    own = {"token_service": tokens.address(), **changes}
    return workload(tokens, instance, directory, **own)


def edge(callee: Standing, scopes: Sequence[str] = ("orders.read",)) -> dict[str, Any]:
    """Return the part of a configuration that names `callee` as one to call."""
    service = callee.instance.service
    return {
        service: {
            "url": f"{callee.url}/{service}",
            "spiffe_id": str(callee.instance.spiffe_id),
            "audience": callee.workload.config.guard.audience,
            "scopes": list(scopes),
        }
    }


def run(own: Workload, work: Callable[[Workload], Any]) -> Any:
    """Return what `work` makes of a workload, and close its connections."""

    async def running() -> Any:
        try:
            return await work(own)
        finally:
            await own.aclose()

    return asyncio.run(running())
