"""A gateway on real sockets, between a caller and the upstreams of the sample topology.

    with standing(mesh, serve, directory) as edge:
        token = edge.token()                       # opaque, bound to storefront
        edge.get(token)                            # storefront -> gateway -> orders

Token service and gateway share one `Clock`. `edge.upstream` is what orders saw; other
applications can stand in its place.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from pki.identity import SpiffeId
from services.gateway.app import create_app
from services.gateway.gateway import Gateway, read_gateway_config
from services.guard.workload import Workload
from services.watched import Watched, file_stamp
from services.wire.forwarded import ForwardedCertificate
from services.wire.hops import Hop
from tests.services.documents import (
    ISSUER,
    ORDERS_AUDIENCE,
    client_document,
    write,
)
from tests.services.guarding import Service, bearer, guarded
from tests.services.mesh import Instance, Mesh, Running, Serve
from tests.services.running import (
    STOCK_AUDIENCE,
    Tokens,
    client_of,
    registrations,
    token_service,
)

AUDIENCE = "https://gateway.shop.internal"
GATEWAY = "spiffe://shop.internal/service/gateway"
ORDERS = "spiffe://shop.internal/service/orders"


def gateway_document(**changes: Any) -> dict[str, Any]:
    """Return the document of a gateway before orders, but for the `changes`."""
    good = {
        "kind": "gateway",
        "service": "gateway",
        "instance": "gateway@localhost",
        "trust_domain": "shop.internal",
        "spiffe_id": GATEWAY,
        "address": "127.0.0.1",
        "port": 8450,
        "identity": "/srv/gateway/identity/current",
        "client_id": "gateway",
        "audience": AUDIENCE,
        "token_service": {
            "issuer": ISSUER,
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "introspection_endpoint": f"{ISSUER}/introspect",
            "spiffe_id": "spiffe://shop.internal/token-service",
        },
        "routes": {"/orders": upstream_document()},
    }
    return {**good, **changes}


def upstream_document(**changes: Any) -> dict[str, Any]:
    """Return the route to orders, but for the `changes`."""
    good = {
        "url": "https://localhost:8442/orders",
        "spiffe_id": ORDERS,
        "audience": ORDERS_AUDIENCE,
        "scopes": ["orders.read"],
    }
    return {**good, **changes}


def clients() -> dict[str, Any]:
    """Return the clients: callers of the gateway, the gateway, and orders."""
    reach = {AUDIENCE: ["orders.read", "orders.write"]}
    gateway = client_document(
        tls_client_auth={"san_uri": GATEWAY},
        audience=AUDIENCE,
        audiences={ORDERS_AUDIENCE: ["orders.read", "orders.write"]},
        delegates={
            "orders.read": {ORDERS_AUDIENCE: ["orders.read"]},
            "orders.write": {ORDERS_AUDIENCE: ["orders.write"]},
        },
    )
    return {
        "orders": registrations()["orders"],
        "gateway": gateway,
        "storefront": client_document(audiences=reach, format="opaque"),
        "storefront-jwt": client_document(audiences=reach),
        "storefront-dpop": client_document(
            audiences=reach, format="opaque", binding="dpop"
        ),
        "storefront-brief": client_document(
            audiences=reach, format="opaque", lifetime=2
        ),
        "storefront-bearer": client_document(
            audiences=reach, format="opaque", binding="none"
        ),
        "storefront-direct": client_document(),
    }


@dataclass
class Edge:
    """A running gateway, and who stands on both sides of it."""

    running: Running
    instance: Instance
    tokens: Tokens
    upstream: Service
    caller: Instance
    gateway: Gateway
    document: Path

    @property
    def url(self) -> str:
        """Its root."""
        return self.running.url

    def client(self, caller: Instance | None = None) -> httpx.Client:
        """Return a client that keeps its connection to the gateway."""
        return client_of(caller or self.caller, self.instance, base_url=self.url)

    def token(self, client_id: str = "storefront", **changes: Any) -> str:
        """Return a token for the gateway."""
        wanted = {"client_id": client_id, "resource": AUDIENCE, **changes}
        return self.tokens.token(self.caller, **wanted)

    def revoke(self, token: str, client_id: str = "storefront") -> None:
        """Void a token."""
        with self.tokens.client(self.caller) as client:
            form = {"client_id": client_id, "token": token}
            client.post("/revoke", data=form).raise_for_status()

    def get(
        self,
        token: str,
        path: str = "/orders",
        *,
        caller: Instance | None = None,
        headers: Any = None,
    ) -> httpx.Response:
        """Ask for `path` on a connection of the caller's."""
        with self.client(caller) as client:
            return client.get(path, headers={**bearer(token), **(headers or {})})


def behind(app: Callable[[Workload], ASGIApp]) -> Callable[[Workload], ASGIApp]:
    """Return `app` as a process runs it whose trusted hop is the gateway."""

    def made(own: Workload) -> ASGIApp:
        name = SpiffeId.parse(GATEWAY)
        hop = Hop("client-cert", name, None, binding="hop")
        return ForwardedCertificate(app(own), identity=own.identity, hops=lambda: [hop])

    return made


@contextmanager
def gateway_before(
    tokens: Tokens, serve: Serve, directory: Path, instance: Instance, **changes: Any
) -> Iterator[tuple[Running, Gateway, Path]]:
    """Run a gateway; `changes` are those of its configuration."""
    own = {
        "identity": str(instance.current),
        "state": str(directory),
        "token_service": {
            "issuer": ISSUER,
            "token_endpoint": f"{tokens.url}/token",
            "jwks_uri": f"{tokens.url}/jwks",
            "introspection_endpoint": f"{tokens.url}/introspect",
            "spiffe_id": str(tokens.instance.spiffe_id),
        },
    }
    document = write(directory, gateway_document(**{**own, **changes}))
    config = Watched(
        lambda: read_gateway_config(document),
        file_stamp(document),
        name="config",
        monotonic=tokens.clock.seconds,
    )
    live = instance.live(tokens.clock.seconds)
    gateway = Gateway(config, live, clock=tokens.clock)
    with serve(create_app(gateway), instance) as running:
        yield running, gateway, document


@contextmanager
def standing(  # noqa: PLR0913 - who stands on each side
    mesh: Mesh,
    serve: Serve,
    directory: Path,
    *,
    app: Callable[[Workload], ASGIApp],
    calls: dict[str, Any] | None = None,
    tokens: Tokens | None = None,
    **changes: Any,
) -> Iterator[Edge]:
    """Run token service, orders (which runs `app`) and a gateway before it."""
    homes = {name: directory / name for name in ("tokens", "orders", "gateway")}
    for home in homes.values():
        home.mkdir()
    with ExitStack() as stack:
        if tokens is None:
            tokens = stack.enter_context(
                token_service(mesh, serve, homes["tokens"], clients=clients())
            )
        orders = stack.enter_context(
            guarded(
                tokens,
                serve,
                mesh.instance("orders"),
                homes["orders"],
                app=behind(app),
                calls=calls or {},
            )
        )
        instance = mesh.instance("gateway")
        routes = {"/orders": upstream_document(url=f"{orders.url}/orders")}
        running, gateway, document = stack.enter_context(
            gateway_before(
                tokens,
                serve,
                homes["gateway"],
                instance,
                **{"routes": routes, **changes},
            )
        )
        yield Edge(
            running,
            instance,
            tokens,
            orders,
            mesh.instance("storefront"),
            gateway,
            document,
        )


def stock_called(stock: Service) -> dict[str, Any]:
    """Return the part of orders' configuration that names stock."""
    return {
        "stock": {
            "url": f"{stock.url}/stock",
            "spiffe_id": str(stock.instance.spiffe_id),
            "audience": STOCK_AUDIENCE,
            "scopes": ["stock.read"],
        }
    }
