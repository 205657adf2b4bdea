"""Flows with DPoP: a workload that makes a key, a thief who has the token alone."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from services.guard.grant import grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.workload import Workload
from services.proof.nonce import STEP
from tests.services.documents import ORDERS_AUDIENCE, client_document
from tests.services.fleet import (
    Standing,
    TokenService,
    calling,
    edge,
    replicas,
    run,
    standing,
)
from tests.services.logged import lines
from tests.services.mesh import Mesh, Serve
from tests.services.running import STOCK_AUDIENCE

CLIENTS = {
    "storefront": client_document(
        binding="dpop",
        audiences={ORDERS_AUDIENCE: ["orders.read"], STOCK_AUDIENCE: ["stock.read"]},
    ),
    "confused": client_document(binding="certificate"),
}


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TokenService]:
    """Return a token service whose storefront uses DPoP."""
    home = tmp_path_factory.mktemp("tokens")
    with replicas(mesh, serve, home, clients=CLIENTS) as (running,):
        yield running


def create_app(own: Workload, tokens: TokenService) -> ASGIApp:
    """Return an application that answers any path."""

    async def answer(request: Any) -> JSONResponse:
        return JSONResponse(
            [
                grant_of(request).client_id,
                request.url.path,
                (await request.body()).decode(),
            ]
        )

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    app.add_middleware(GuardMiddleware, workload=own, clock=tokens.clock)
    return app


@pytest.fixture(scope="module")
def orders(
    mesh: Mesh,
    serve: Serve,
    tokens: TokenService,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Standing]:
    """Return a service that takes DPoP."""
    home = tmp_path_factory.mktemp("orders")
    instance = mesh.instance("orders")
    with standing(
        tokens, serve, instance, home, app=lambda own: create_app(own, tokens)
    ) as running:
        yield running


@pytest.fixture
def storefront(
    mesh: Mesh, tokens: TokenService, orders: Standing, tmp_path: Path
) -> Workload:
    """Return a workload whose tokens are bound to a key."""
    tokens.seen.clear()
    orders.seen.clear()
    return calling(
        tokens,
        mesh.instance("storefront"),
        tmp_path,
        binding="dpop",
        calls=edge(orders),
    )


def test_a_workload_makes_its_key_and_answers_nonces(
    tokens: TokenService, orders: Standing, storefront: Workload
) -> None:
    """Each server asks for a nonce once, and then it is there beforehand."""

    async def work(own: Workload) -> list[int]:
        client = own.client("orders")
        answers = [await client.get("/orders") for _ in range(3)]
        return [answer.status_code for answer in answers]

    assert run(storefront, work) == [200] * 3
    assert tokens.asked("/token") == 2
    assert len(orders.seen) == 4
    assert {seen.authorization.split()[0] for seen in orders.seen} == {"DPoP"}
    assert len({seen.authorization for seen in orders.seen}) == 1


def test_a_body_is_sent_again_with_the_nonce(storefront: Workload) -> None:
    """What was refused for its nonce reaches the application whole."""

    async def work(own: Workload) -> httpx.Response:
        return await own.client("orders").post("/orders", content=b"a lantern")

    assert run(storefront, work).json() == ["storefront", "/orders", "a lantern"]


def test_a_stream_cannot_be_sent_again(orders: Standing, storefront: Workload) -> None:
    """The caller gets the refusal, and its next request the nonce."""

    async def body() -> Any:
        yield b"a lantern"

    async def work(own: Workload) -> list[int]:
        client = own.client("orders")
        return [
            (await client.post("/orders", content=body())).status_code for _ in range(2)
        ]

    assert run(storefront, work) == [401, 200]


def test_a_nonce_that_has_gone_stale_is_replaced(
    tokens: TokenService, orders: Standing, storefront: Workload
) -> None:
    """The token stays; only the proof is made anew."""

    async def work(own: Workload) -> list[int]:
        client = own.client("orders")
        first = await client.get("/orders")
        tokens.clock.move(seconds=2 * STEP.total_seconds())
        second = await client.get("/orders")
        return [first.status_code, second.status_code]

    assert run(storefront, work) == [200, 200]
    assert len(orders.seen) == 4
    assert len({seen.authorization for seen in orders.seen}) == 1


@pytest.mark.parametrize(
    "path", ["/orders/a%20b", "/orders/a%2Fb", "/orders/%3Fx", "/orders/ä?y=z", "/"]
)
def test_a_proof_is_for_the_path_as_it_was_sent(
    storefront: Workload, path: str
) -> None:
    """Percent-encoding and query do not part caller and service (section 4.3)."""

    async def work(own: Workload) -> int:
        status: int = (await own.client("orders").get(path)).status_code
        return status

    assert run(storefront, work) == 200


def test_first_calls_at_once_all_get_through(
    mesh: Mesh,
    serve: Serve,
    tokens: TokenService,
    orders: Standing,
    tmp_path: Path,
) -> None:
    """Two services, twenty calls, no nonce known: each is answered."""
    guard = {"audience": STOCK_AUDIENCE, "resource": "/stock", "scopes": ["stock.read"]}
    with standing(
        tokens,
        serve,
        mesh.instance("stock"),
        tmp_path / "stock",
        guard=guard,
        app=lambda own: create_app(own, tokens),
    ) as stock:
        calls = edge(orders) | edge(stock, ["stock.read"])
        own = calling(
            tokens,
            mesh.instance("storefront"),
            tmp_path / "storefront",
            binding="dpop",
            calls=calls,
        )

        async def work(own: Workload) -> list[int]:
            answers = await asyncio.gather(
                *(
                    own.client(name).get(f"/{name}")
                    for name in ("orders", "stock")
                    for _ in range(10)
                )
            )
            return [answer.status_code for answer in answers]

        tokens.seen.clear()
        assert run(own, work) == [200] * 20
        assert tokens.asked("/token") <= 4  # two for each audience


def test_a_stolen_token_opens_nothing(
    orders: Standing, storefront: Workload, mesh: Mesh
) -> None:
    """What went over the wire is of no use, to a thief or to its own host's others."""

    async def work(own: Workload) -> None:
        await own.client("orders").get("/orders")

    run(storefront, work)
    stolen = orders.seen[-1].authorization.split()[1]
    for thief in (mesh.instance("stock"), mesh.instance("storefront")):
        for scheme, code in (
            ("DPoP", "invalid_dpop_proof"),
            ("Bearer", "invalid_token"),
        ):
            answer = orders.ask(thief, {"Authorization": f"{scheme} {stolen}"})
            assert answer.status_code == 401
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith(f'{scheme} realm="{ORDERS_AUDIENCE}"')
            at_fault = challenge.partition(
                f", {'Bearer' if scheme == 'DPoP' else 'DPoP'} "
            )
            assert f'error="{code}"' in at_fault[0]
            assert "error=" not in at_fault[2]


def test_each_process_has_a_key_of_its_own(
    tokens: TokenService, orders: Standing, mesh: Mesh, tmp_path: Path
) -> None:
    """Two replicas of a caller hold two tokens, and neither can use the other's."""
    instance = mesh.instance("storefront")

    async def work(own: Workload) -> None:
        await own.client("orders").get("/orders")

    for name in ("1", "2"):
        own = calling(
            tokens, instance, tmp_path / name, binding="dpop", calls=edge(orders)
        )
        run(own, work)
    assert len({seen.authorization for seen in orders.seen[-4:]}) == 2


@pytest.mark.parametrize(
    ("client_id", "binding", "reason"),
    [
        ("storefront", "certificate", "invalid_dpop_proof"),
        ("confused", "dpop", "invalid_request"),
    ],
)
def test_a_registration_that_does_not_fit_is_no_downgrade(  # noqa: PLR0913, PLR0917 - fixtures
    mesh: Mesh,
    tokens: TokenService,
    orders: Standing,
    tmp_path: Path,
    client_id: str,
    binding: str,
    reason: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Both sides must agree on the binding, or there is no token (section 5)."""
    own = calling(
        tokens,
        mesh.instance("storefront"),
        tmp_path,
        client_id=client_id,
        binding=binding,
        calls=edge(orders),
    )

    async def work(own: Workload) -> None:
        with pytest.raises(Exception, match=reason):
            await own.client("orders").get("/orders")

    run(own, work)
    assert lines(caplog)[-1]["code"] == reason
