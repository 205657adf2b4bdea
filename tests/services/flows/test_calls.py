"""Flows from service to service: the samples, and a certificate that is renewed."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from pki.clock import utc_now
from services.guard.grant import grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.workload import Workload
from services.samples import hello, orders, stock, storefront
from tests.services.asking import Liar
from tests.services.documents import ORDERS_AUDIENCE, client_document
from tests.services.guarding import Service, guarded, workload
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import STOCK_AUDIENCE, Tokens, token_service

STOREFRONT_AUDIENCE = "https://storefront.shop.internal"


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service that also knows a shopper."""
    home = tmp_path_factory.mktemp("tokens")

    def client(service: str, audience: str) -> dict[str, Any]:
        name = audience.removeprefix("https://").partition(".")[0]
        scope = f"{name}.read"
        return client_document(
            tls_client_auth={"san_uri": f"spiffe://shop.internal/service/{service}"},
            audiences={audience: [scope]},
            audience=f"https://{service}.shop.internal",
            delegates={f"{service}.read": {audience: [scope]}},
        )

    clients = {
        "storefront": client("storefront", ORDERS_AUDIENCE),
        "orders": client("orders", STOCK_AUDIENCE),
        "shopper": client("shopper", STOREFRONT_AUDIENCE),
    }
    with token_service(mesh, serve, home, clients=clients) as running:
        yield running


class Shop:
    """A way to start services, each calling the one before."""

    def __init__(
        self, tokens: Tokens, mesh: Mesh, serve: Serve, directory: Path
    ) -> None:
        self.tokens = tokens
        self._mesh = mesh
        self._serve = serve
        self._directory = directory
        self.stack = ExitStack()

    def start(
        self,
        service: str,
        app: Callable[[Workload], ASGIApp],
        callee: Service | None = None,
    ) -> Service:
        """Start a sample."""
        home = self._directory / service
        home.mkdir()
        guard = {
            "audience": f"https://{service}.shop.internal",
            "resource": f"/{service}",
            "scopes": [f"{service}.read"],
            "bearer_clients": [],
        }
        instance = self._mesh.instance(service)
        running = guarded(
            self.tokens,
            self._serve,
            instance,
            home,
            app=app,
            guard=guard,
            calls=calls(callee),
        )
        return self.stack.enter_context(running)

    def caller(self, service: str, callee: Service) -> "Caller":
        """Return a service that only calls."""
        home = self._directory / f"{service}-caller"
        home.mkdir()
        return Caller(self.tokens, self._mesh.instance(service), callee, home)


def calls(callee: Service | None) -> dict[str, Any]:
    """Return the part of a configuration that names the service to call."""
    if callee is None:
        return {}
    service = callee.instance.service
    return {
        service: {
            "url": f"{callee.url}/{service}",
            "spiffe_id": str(callee.instance.spiffe_id),
            "audience": f"https://{service}.shop.internal",
            "scopes": [f"{service}.read"],
        }
    }


class Caller:
    """A process that calls another as an application would."""

    def __init__(
        self, tokens: Tokens, instance: Instance, callee: Service, directory: Path
    ) -> None:
        self.instance = instance
        self._callee = callee
        self._tokens = tokens
        self._directory = directory

    def run(self, work: Callable[[httpx.AsyncClient], Any]) -> Any:
        """Return what `work` makes of the way to the service."""

        async def running() -> Any:
            own = workload(
                self._tokens,
                self.instance,
                self._directory,
                calls=calls(self._callee),
            )
            try:
                return await work(own.client(self._callee.instance.service))
            finally:
                await own.aclose()

        return asyncio.run(running())

    def get(self) -> httpx.Response:
        """Ask once."""

        async def once(client: httpx.AsyncClient) -> httpx.Response:
            return await client.get(f"/{self._callee.instance.service}")

        answer: httpx.Response = self.run(once)
        return answer


@pytest.fixture
def shop(tokens: Tokens, mesh: Mesh, serve: Serve, tmp_path: Path) -> Iterator[Shop]:
    """Return an empty shop at the present time, and close it."""
    tokens.clock.moment = utc_now()
    tokens.seen.clear()
    shop = Shop(tokens, mesh, serve, tmp_path)
    with shop.stack:
        yield shop


def test_a_purchase_goes_through_three_services(shop: Shop) -> None:
    """Each hop has a token of its own, bound to the certificate of its caller."""
    last = shop.start("stock", stock.create_app)
    middle = shop.start("orders", orders.create_app, last)
    first = shop.start("storefront", storefront.create_app, middle)
    answer = shop.caller("shopper", first).get()
    assert answer.status_code == 200
    told = answer.json()
    assert told["caller"] == "shopper"
    assert told["orders"]["caller"] == "storefront"
    assert told["orders"]["stock"]["caller"] == "orders"
    # RFC 8693, section 4.1: who acts, newest first, and for whom.
    assert told["orders"]["stock"]["chain"] == ["orders", "storefront", "shopper"]
    assert told["orders"]["deliverable"] == {"lantern": True, "kettle": False}
    sent = {service.seen[0].authorization for service in (first, middle, last)}
    assert len(sent) == 3
    assert last.seen[0].thumbprint == middle.instance.generation.thumbprint


def test_a_hop_that_fails_is_a_bad_gateway(shop: Shop) -> None:
    """The samples say which service did not answer, and go on."""
    last = shop.start("stock", lambda _: Liar(500))
    middle = shop.start("orders", orders.create_app, last)
    first = shop.start("storefront", storefront.create_app, middle)
    answer = shop.caller("shopper", first).get()
    assert answer.status_code == 502
    assert answer.json()["error"].startswith("orders did not answer")
    answer = shop.caller("storefront", middle).get()
    assert answer.status_code == 502
    assert answer.json()["error"].startswith("stock did not answer")


def test_a_hop_without_an_edge_is_a_bad_gateway(shop: Shop) -> None:
    """What the topology does not have, the sample cannot call."""
    middle = shop.start("orders", orders.create_app)
    answer = shop.caller("storefront", middle).get()
    assert answer.status_code == 502
    assert "no call to 'stock'" in answer.json()["error"]


def test_a_new_service_says_hello(shop: Shop) -> None:
    """A service without an application of its own guards and answers."""
    running = shop.start("stock", hello.create_app)
    answer = shop.caller("orders", running).get()
    assert answer.json() == {"service": "stock", "caller": "orders"}


def test_three_lines_guard_an_application(shop: Shop) -> None:
    """What the README promises: an application, and the guard added to it."""

    def create_app(own: Workload) -> ASGIApp:
        app = Starlette(
            routes=[
                Route("/stock", lambda r: JSONResponse(grant_of(r).client_id)),
            ]
        )
        app.add_middleware(GuardMiddleware, workload=own)
        return app

    running = shop.start("stock", create_app)
    assert shop.caller("orders", running).get().json() == "orders"


@pytest.mark.parametrize("same_key", [False, True])
def test_a_renewal_changes_token_and_connection_together(
    shop: Shop, *, same_key: bool
) -> None:
    """The old connection is never used with the new token, nor the other way round."""
    running = shop.start("stock", stock.create_app)
    caller = shop.caller("orders", running)
    key = caller.instance.mesh.issue("orders").key
    caller.instance.renew(key=key)
    old = caller.instance.generation.thumbprint

    async def work(client: httpx.AsyncClient) -> list[int]:
        answers = [await client.get("/stock"), await client.get("/stock")]
        caller.instance.renew(key=key if same_key else None)
        answers.append(await client.get("/stock"))  # the disk is not looked at yet
        shop.tokens.clock.move(seconds=1)
        answers += [await client.get("/stock"), await client.get("/stock")]
        return [answer.status_code for answer in answers]

    assert caller.run(work) == [200] * 5
    new = caller.instance.generation.thumbprint
    seen = running.seen
    assert [request.thumbprint for request in seen] == [old] * 3 + [new] * 2
    assert len({request.port for request in seen[:3]}) == 1
    assert len({request.port for request in seen[3:]}) == 1
    assert seen[0].port != seen[3].port
    assert seen[0].authorization == seen[2].authorization
    assert seen[2].authorization != seen[3].authorization == seen[4].authorization
    assert shop.tokens.asked("/token") == 2


def test_a_renewal_in_the_middle_of_a_call_does_not_part_the_two(shop: Shop) -> None:
    """A token fetched with the old certificate goes out over its connection."""
    running = shop.start("stock", stock.create_app)
    caller = shop.caller("orders", running)
    old = caller.instance.generation.thumbprint

    def renew() -> None:
        caller.instance.renew()
        shop.tokens.clock.move(seconds=1)

    shop.tokens.before.append(renew)  # the token is on its way when the link is turned
    assert caller.get().status_code == 200
    assert caller.instance.generation.thumbprint != old
    (request,) = running.seen
    assert request.thumbprint == old
