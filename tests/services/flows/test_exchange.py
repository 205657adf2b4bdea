"""Flows in a caller's name: tokens exchanged from hop to hop (RFC 8693)."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from services.guard.grant import Grant, grant_of
from services.guard.middleware import GuardMiddleware
from services.guard.presented import ForeignGrantError
from services.guard.workload import Workload
from services.proof.access_token import AccessToken, verify_access_token
from services.proof.jws import parse
from services.samples.stock import stock as shelves
from services.token.exchange import ACCESS_TOKEN_TYPE, TOKEN_EXCHANGE
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
from tests.services.holding import Holder, ask, endpoint
from tests.services.logged import lines, listen
from tests.services.mesh import Instance, Mesh, Serve, until
from tests.services.running import ORDERS, STOCK_AUDIENCE, request

STOCK = "spiffe://shop.internal/service/stock"
BILLING_AUDIENCE = "https://billing.shop.internal"


def exchanger(**changes: Any) -> dict[str, Any]:
    """Return the registration of orders, but for the `changes`."""
    return client_document(
        **{
            "tls_client_auth": {"san_uri": ORDERS},
            "audiences": {STOCK_AUDIENCE: ["stock.read", "stock.write"]},
            "audience": ORDERS_AUDIENCE,
            "delegates": {"orders.read": {STOCK_AUDIENCE: ["stock.read"]}},
            **changes,
        }
    )


CLIENTS = {
    "storefront": client_document(),
    "opaque": client_document(format="opaque"),
    "dpop": client_document(binding="dpop"),
    "bearer": client_document(binding="none"),
    "brief": client_document(lifetime=30),
    "orders": exchanger(),
    "orders-dpop": exchanger(binding="dpop"),
    "orders-bearer": exchanger(binding="none"),
    "stock": client_document(
        tls_client_auth={"san_uri": STOCK},
        audiences={BILLING_AUDIENCE: ["billing.read"]},
        audience=STOCK_AUDIENCE,
        delegates={"stock.read": {BILLING_AUDIENCE: ["billing.read"]}},
    ),
}


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TokenService]:
    """Return a token service."""
    home = tmp_path_factory.mktemp("tokens")
    with replicas(mesh, serve, home, clients=CLIENTS) as (running,):
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return who begins."""
    return mesh.instance("storefront")


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the service in the middle."""
    return mesh.instance("orders")


@pytest.fixture(scope="module")
def stock(mesh: Mesh) -> Instance:
    """Return the service behind it."""
    return mesh.instance("stock")


def form(subject_token: str, **changes: Any) -> dict[str, Any]:
    """Return the exchange of a token by orders, but for the `changes`."""
    return request(
        **{
            "grant_type": TOKEN_EXCHANGE,
            "client_id": "orders",
            "resource": STOCK_AUDIENCE,
            "scope": None,
            "subject_token": subject_token,
            "subject_token_type": ACCESS_TOKEN_TYPE,
            **changes,
        }
    )


def exchanged(
    tokens: TokenService, caller: Instance, subject_token: str, **changes: Any
) -> httpx.Response:
    """Exchange a token."""
    with tokens.client(caller) as client:
        return client.post("/token", data=form(subject_token, **changes))


def read(tokens: TokenService, caller: Instance, answer: httpx.Response) -> AccessToken:
    """Return the token in an answer, as its receiver will verify it."""
    unverified = parse(answer.raise_for_status().json()["access_token"])
    key = tokens.keys(caller)[unverified.key_id]
    return verify_access_token(
        unverified, key, issuer=tokens.issuer, audience=None, now=tokens.clock()
    )


@pytest.mark.parametrize("client_id", ["storefront", "opaque", "bearer"])
def test_what_was_sent_becomes_ones_own(
    tokens: TokenService, storefront: Instance, orders: Instance, client_id: str
) -> None:
    """The answer has RFC 8693's members, and the binding is the exchanger's."""
    subject = tokens.token(storefront, client_id=client_id)
    answer = exchanged(tokens, orders, subject)
    told = answer.json()
    assert told.pop("access_token")
    assert told == {
        "issued_token_type": ACCESS_TOKEN_TYPE,
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "stock.read",
    }
    token = read(tokens, orders, answer)
    assert (token.subject, token.client_id) == (client_id, "orders")
    assert token.actor == {"sub": "orders"}
    assert token.confirmation == {"x5t#S256": orders.generation.thumbprint}


def test_the_answer_says_the_type_that_was_asked_for(
    tokens: TokenService, storefront: Instance, orders: Instance
) -> None:
    """A JWT if a JWT was asked for (RFC 8693, section 2.2.1)."""
    kind = "urn:ietf:params:oauth:token-type:jwt"
    subject = tokens.token(storefront)
    answer = exchanged(tokens, orders, subject, requested_token_type=kind)
    assert answer.json()["issued_token_type"] == kind
    assert read(tokens, orders, answer).audience == STOCK_AUDIENCE


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": BILLING_AUDIENCE},
        {"audience": [STOCK_AUDIENCE, ORDERS_AUDIENCE]},
        {"resource": [STOCK_AUDIENCE, ORDERS_AUDIENCE]},
        {"resource": None},
    ],
    ids=repr,
)
def test_exactly_one_target_is_named(
    tokens: TokenService, storefront: Instance, orders: Instance, changes: Any
) -> None:
    """In either parameter or in both; another beside it is not left out silently."""
    subject = tokens.token(storefront)
    refused(exchanged(tokens, orders, subject, **changes), "invalid_target")


@pytest.mark.parametrize(
    "changes",
    [
        {"actor_token": "x", "actor_token_type": ACCESS_TOKEN_TYPE},
        {"actor_token": "x"},
        {"actor_token_type": ACCESS_TOKEN_TYPE},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:saml2"},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"subject_token_type": None},
    ],
    ids=repr,
)
def test_what_is_no_exchange_of_ours_is_a_bad_request(
    tokens: TokenService, storefront: Instance, orders: Instance, changes: Any
) -> None:
    """The actor is the client; types we do not know are refused (section 2.1)."""
    subject = tokens.token(storefront)
    refused(exchanged(tokens, orders, subject, **changes), "invalid_request")


def test_a_client_of_dpop_binds_it_to_its_key(
    tokens: TokenService, storefront: Instance, orders: Instance
) -> None:
    """The key comes from the proof of this request, in every grant (9449, 5)."""
    subject = tokens.token(storefront)
    holder = Holder(tokens.clock)
    changes = {**form(subject, client_id="orders-dpop"), "scope": None}
    holder.learn(ask(tokens, orders, holder.proof("POST", endpoint(tokens)), **changes))
    answer = ask(tokens, orders, holder.proof("POST", endpoint(tokens)), **changes)
    assert answer.json()["token_type"] == "DPoP"
    token = read(tokens, orders, answer)
    assert token.confirmation == {"jkt": holder.prover.thumbprint}
    refused(ask(tokens, orders, None, **changes), "invalid_dpop_proof")


def refused(answer: httpx.Response, code: str) -> None:
    """Check that an exchange was refused with this code."""
    assert (answer.status_code, answer.json()["error"]) == (400, code)
    assert answer.headers["cache-control"] == "no-store"


def test_a_binding_is_not_dropped(
    tokens: TokenService, storefront: Instance, orders: Instance
) -> None:
    """A client of bearer tokens cannot make a bound token one for everybody."""
    bound = tokens.token(storefront)
    refused(
        exchanged(tokens, orders, bound, client_id="orders-bearer"), "invalid_request"
    )
    unbound = tokens.token(storefront, client_id="bearer")
    answer = exchanged(tokens, orders, unbound, client_id="orders-bearer")
    assert answer.status_code == 200


@pytest.mark.parametrize("thief", ["stock", "storefront"])
def test_who_was_not_sent_it_exchanges_nothing(
    tokens: TokenService, storefront: Instance, stock: Instance, thief: str
) -> None:
    """Neither a thief nor the one it was issued to is its audience."""
    subject = tokens.token(storefront)
    caller = {"stock": stock, "storefront": storefront}[thief]
    resource = {"stock": BILLING_AUDIENCE, "storefront": ORDERS_AUDIENCE}[thief]
    answer = exchanged(tokens, caller, subject, client_id=thief, resource=resource)
    refused(answer, "invalid_request")


@pytest.mark.parametrize("client_id", ["storefront", "opaque"])
@pytest.mark.parametrize("kind", ["expired", "revoked", "spoilt", "garbage"])
def test_a_dead_subject_token_is_a_bad_request(
    tokens: TokenService,
    storefront: Instance,
    orders: Instance,
    kind: str,
    client_id: str,
) -> None:
    """The code is invalid_request, whatever was wrong with it (2.2.2)."""
    subject = tokens.token(storefront, client_id=client_id)
    assert exchanged(tokens, orders, subject).status_code == 200
    if kind == "expired":
        tokens.clock.move(seconds=300)
    elif kind == "revoked":
        tokens.post(storefront, "/revoke", client_id=client_id, token=subject)
    elif kind == "spoilt":
        subject = subject[:-8] + "AAAAAAAA"
    else:
        subject = "x"
    refused(exchanged(tokens, orders, subject), "invalid_request")


def test_an_introspection_answer_is_no_subject_token(
    tokens: TokenService, storefront: Instance, orders: Instance
) -> None:
    """It is signed by the right key, and of another kind."""
    answer = tokens.post(
        orders,
        "/introspect",
        {"Accept": "application/token-introspection+jwt"},
        client_id="orders",
        token=tokens.token(storefront),
    )
    refused(exchanged(tokens, orders, answer.text), "invalid_request")


def test_a_new_token_never_outlives_the_old_one(
    tokens: TokenService, storefront: Instance, orders: Instance
) -> None:
    """What is left of the subject token is all there is, to the second."""
    subject = tokens.token(storefront, client_id="brief")
    ends = tokens.clock().replace(microsecond=0) + timedelta(seconds=30)
    tokens.clock.move(seconds=29)
    answer = exchanged(tokens, orders, subject)
    assert answer.json()["expires_in"] == 1
    assert read(tokens, orders, answer).expires_at == ends


def test_scopes_do_not_widen_on_the_way(
    tokens: TokenService, storefront: Instance, orders: Instance
) -> None:
    """What orders may write for itself it may not write for the storefront."""
    subject = tokens.token(storefront)
    refused(exchanged(tokens, orders, subject, scope="stock.write"), "invalid_scope")
    own = request(client_id="orders", resource=STOCK_AUDIENCE, scope="stock.write")
    with tokens.client(orders) as client:
        assert client.post("/token", data=own).status_code == 200


def test_a_target_beyond_the_topology_is_refused(
    tokens: TokenService, storefront: Instance, orders: Instance
) -> None:
    """Storefront's own edges are not lent to orders (2.2.2)."""
    subject = tokens.token(storefront)
    answer = exchanged(tokens, orders, subject, resource=BILLING_AUDIENCE)
    refused(answer, "invalid_target")


def test_a_chain_keeps_its_subject(
    tokens: TokenService, storefront: Instance, orders: Instance, stock: Instance
) -> None:
    """Three hops: the first stays the subject, the newest actor stands outermost."""
    first = tokens.token(storefront)
    second = exchanged(tokens, orders, first).json()["access_token"]
    answer = exchanged(
        tokens, stock, second, client_id="stock", resource=BILLING_AUDIENCE
    )
    token = read(tokens, stock, answer)
    assert token.subject == "storefront"
    assert token.actor == {"sub": "stock", "act": {"sub": "orders"}}
    assert token.confirmation == {"x5t#S256": stock.generation.thumbprint}


class Asked:
    """Orders, as an application that keeps whatever it can get hold of."""

    def __init__(self, tokens: TokenService) -> None:
        self._tokens = tokens
        self.grants: list[Grant] = []
        self.kept: list[str] = []
        self.clients: list[httpx.AsyncClient] = []
        self.later: list[str] = []

    def create(self, own: Workload) -> ASGIApp:
        """Return the guarded application."""

        async def ask(request: Request) -> Response:
            grant = grant_of(request)
            client = own.client("stock", on_behalf_of=grant)
            answer = await client.get("/stock")
            self.grants.append(grant)
            self.kept += [
                repr(grant),
                str({name: getattr(grant, name) for name in grant.__struct_fields__}),
                repr(request.state._state),
                repr(client),
                str(answer.json()),
            ]
            return JSONResponse(
                answer.json(), background=BackgroundTask(self._after, own, grant)
            )

        async def closing(request: Request) -> Response:
            grant = grant_of(request)
            for _ in range(2):
                async with own.client("stock", on_behalf_of=grant) as client:
                    (await client.get("/stock")).raise_for_status()
            return JSONResponse((await own.client("stock").get("/stock")).json())

        async def foreign(request: Request) -> Response:
            try:
                own.client("stock", on_behalf_of=self.grants[0])
            except ForeignGrantError as error:
                return JSONResponse(error.code)
            return JSONResponse("let through")

        app = Starlette(
            routes=[
                Route("/orders", ask),
                Route("/closing", closing),
                Route("/foreign", foreign),
            ]
        )
        app.add_middleware(GuardMiddleware, workload=own, clock=self._tokens.clock)
        return app

    async def _after(self, own: Workload, grant: Grant) -> None:
        async def outlive() -> None:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            try:
                own.client("stock", on_behalf_of=grant)
            except ForeignGrantError:
                self.later.append("refused")
            else:
                self.later.append("let through")

        self._task = asyncio.ensure_future(outlive())


def stock_app(own: Workload, tokens: TokenService) -> ASGIApp:
    """Return the sample at the end of the line, by the tests' clock."""
    app = Starlette(routes=[Route("/stock", shelves)])
    app.add_middleware(GuardMiddleware, workload=own, clock=tokens.clock)
    return app


@pytest.fixture
def asked(tokens: TokenService) -> Asked:
    """Return the application in the middle."""
    return Asked(tokens)


@pytest.fixture
def middle(
    mesh: Mesh, serve: Serve, tokens: TokenService, asked: Asked, tmp_path: Path
) -> Iterator[tuple[Standing, Standing]]:
    """Return orders, and stock behind it."""
    guard = {"audience": STOCK_AUDIENCE, "resource": "/stock", "scopes": ["stock.read"]}
    with ExitStack() as opened:
        stock = opened.enter_context(
            standing(
                tokens,
                serve,
                mesh.instance("stock"),
                tmp_path / "stock",
                app=lambda own: stock_app(own, tokens),
                guard=guard,
            )
        )
        orders = opened.enter_context(
            standing(
                tokens,
                serve,
                mesh.instance("orders"),
                tmp_path / "orders",
                app=asked.create,
                calls=edge(stock, ["stock.read"]),
            )
        )
        yield orders, stock


def test_the_next_hop_sees_who_began(
    tokens: TokenService, storefront: Instance, middle: tuple[Standing, Standing]
) -> None:
    """Stock is told the chain, and gets a token that storefront's is no part of."""
    orders, stock = middle
    token = tokens.token(storefront)
    answer = orders.ask(storefront, {"Authorization": f"Bearer {token}"})
    assert answer.json()["chain"] == ["orders", "storefront"]
    assert token not in stock.seen[0].authorization
    assert stock.seen[0].thumbprint == orders.instance.generation.thumbprint


def test_the_application_never_sees_a_token(
    tokens: TokenService,
    storefront: Instance,
    middle: tuple[Standing, Standing],
    asked: Asked,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither what it was sent nor what it sends: no attribute, state or log has it."""
    listen(caplog)
    orders, stock = middle
    token = tokens.token(storefront)
    orders.ask(storefront, {"Authorization": f"Bearer {token}"})
    secrets = [token, stock.seen[0].authorization.split()[1]]
    assert len(asked.kept) == 5
    for found in (*asked.kept, str(lines(caplog))):
        for secret in secrets:
            assert secret.split(".")[1] not in found
            assert secret.split(".")[2] not in found


def test_a_grant_serves_its_own_request_only(
    tokens: TokenService,
    storefront: Instance,
    middle: tuple[Standing, Standing],
    asked: Asked,
) -> None:
    """Kept from an earlier request, or by a task that outlives it, it is void."""
    orders, _ = middle
    headers = {"Authorization": f"Bearer {tokens.token(storefront)}"}
    with orders.client(storefront) as client:
        assert client.get("/orders", headers=headers).status_code == 200
        assert client.get("/foreign", headers=headers).json() == "foreign_grant"
    until(lambda: asked.later)
    assert asked.later == ["refused"]


def test_a_way_that_is_closed_leaves_the_others_open(
    tokens: TokenService, storefront: Instance, middle: tuple[Standing, Standing]
) -> None:
    """A client for one request can be closed, as is usual; connections are shared."""
    orders, stock = middle
    headers = {"Authorization": f"Bearer {tokens.token(storefront)}"}
    answer = orders.ask(storefront, headers, "/closing")
    assert answer.json()["chain"] == ["orders"]
    assert len({seen.port for seen in stock.seen}) == 1


def test_an_exchanged_token_is_kept_for_its_subject_alone(
    tokens: TokenService,
    storefront: Instance,
    middle: tuple[Standing, Standing],
) -> None:
    """Two callers of orders never share what orders holds for one of them."""
    orders, stock = middle
    sent = [tokens.token(storefront) for _ in range(2)]
    for token in (*sent, *sent):
        answer = orders.ask(storefront, {"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200
    held = [seen.authorization for seen in stock.seen]
    assert held[0] == held[2] != held[1] == held[3]


def test_without_a_grant_a_workload_calls_for_itself(
    mesh: Mesh,
    tokens: TokenService,
    middle: tuple[Standing, Standing],
    tmp_path: Path,
) -> None:
    """Its own name is the subject, and nobody acts."""
    _, stock = middle
    own = calling(
        tokens, mesh.instance("orders"), tmp_path, calls=edge(stock, ["stock.read"])
    )

    async def work(own: Workload) -> Any:
        return (await own.client("stock").get("/stock")).json()["chain"]

    assert run(own, work) == ["orders"]
