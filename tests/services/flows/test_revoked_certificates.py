"""Flows with revoked certificates: each party refuses them, on open connections too.

The clock stands still, so that a list is fetched again when a test moves it, and a
publisher that fails is believed until the bound and no longer.
"""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.types import ASGIApp

from pki.identity import SpiffeId
from services.guard.workload import Workload
from services.token.app import create_app
from services.wire.checked import CheckedCertificate
from services.wire.client import IdentityTransport
from services.wire.forwarded import ForwardedCertificate
from services.wire.hops import Hop
from services.wire.peer import OUTSIDE, STATUS, OutsidePeerError
from services.wire.status import CertificateStatus
from tests.services.gateway import standing as edges
from tests.services.guarding import Service, bearer, guarded, orders_app
from tests.services.logged import lines, listen
from tests.services.mesh import TRUST_DOMAIN, Instance, Mesh, Serve
from tests.services.proxies.fields import client_cert
from tests.services.running import Clock, Tokens, request, token_service
from tests.services.shelf import Shelf, shelf
from tests.services.wire.apps import mirror

BOUND = timedelta(seconds=5)
REFUSAL = "the server's certificate"
PROXY = "spiffe://shop.internal/service/proxy"


def checked(app: ASGIApp, status: CertificateStatus) -> ASGIApp:
    """Return `app` as every process has it."""
    return CheckedCertificate(app, status=status, trust_domain=TRUST_DOMAIN)


def looking(serve: Serve, told: Shelf, clock: Clock) -> Serve:
    """Return `serve` for processes that look certificates up."""

    def serving(app: Any, identity: Any, **options: Any) -> Any:
        return serve(checked(app, told.status(clock)), identity, **options)

    return serving


@pytest.fixture(scope="module")
def told(mesh: Mesh) -> Iterator[Shelf]:
    """Return a publisher."""
    with shelf(mesh) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh,
    serve: Serve,
    told: Shelf,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tokens]:
    """Return a token service that looks certificates up."""

    def app(*parts: Any, clock: Clock, **options: Any) -> ASGIApp:
        made = create_app(*parts, clock=clock, **options)
        return checked(made, told.status(clock))

    directory = tmp_path_factory.mktemp("tokens")
    with token_service(
        mesh, serve, directory, app=app, clients=edges.clients()
    ) as running:
        yield running


@pytest.fixture(autouse=True)
def innocent(told: Shelf, tokens: Tokens, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is revoked, and what was known before is too old."""
    told.reset()
    told.publish(number=_next_number())
    tokens.clock.move(seconds=60)
    listen(caplog)


_NUMBERS = iter(range(1, 1000))


def _next_number() -> int:
    return next(_NUMBERS)


def revoke(told: Shelf, tokens: Tokens, *instances: Instance) -> None:
    """Revoke certificates, five seconds ago."""
    told.publish(*instances, number=_next_number())
    tokens.clock.moment += BOUND


def lose(told: Shelf, tokens: Tokens) -> None:
    """Let the publisher be away for as long as lists are believed."""
    told.code = 503
    tokens.clock.moment += BOUND


@pytest.fixture(scope="module")
def orders(
    mesh: Mesh,
    serve: Serve,
    told: Shelf,
    tokens: Tokens,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """Return a guarded service as its process has it, behind a proxy or not."""
    hop = Hop("client-cert", SpiffeId.parse(PROXY), None)

    def judged(own: Workload) -> ASGIApp:
        behind = ForwardedCertificate(
            orders_app(own, tokens.clock),
            identity=own.identity,
            hops=lambda: [hop],
            status=own.status,
            clock=tokens.clock,
        )
        return checked(behind, own.status)

    with guarded(
        tokens,
        serve,
        mesh.instance("orders"),
        tmp_path_factory.mktemp("orders"),
        app=judged,
        revocation={"url": told.url},
    ) as running:
        yield running


@pytest.fixture
def storefront(mesh: Mesh) -> Instance:
    """Return who calls."""
    return mesh.instance("storefront")


def direct(tokens: Tokens, caller: Instance) -> dict[str, str]:
    """Return the header with a token for orders."""
    return bearer(tokens.token(caller, client_id="storefront-direct"))


def test_a_guard_refuses_a_revoked_certificate_on_an_open_connection(
    told: Shelf,
    tokens: Tokens,
    orders: Service,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """401 invalid_token, the reason in the log; another caller's goes on."""
    headers = direct(tokens, storefront)
    with orders.client(storefront) as client:
        assert client.get("/orders", headers=headers).status_code == 200
        revoke(told, tokens, storefront)
        answer = client.get("/orders", headers=headers)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.headers["connection"] == "close"
    line = lines(caplog)[-1]
    assert line["cause"] == "RevokedCertificateError"
    assert f"{storefront.generation.serial:x} is revoked" in str(line["reason"])


def test_a_renewed_certificate_is_as_good_as_ever(
    told: Shelf, tokens: Tokens, orders: Service, storefront: Instance
) -> None:
    """It is the certificate that is revoked, and not the service."""
    revoke(told, tokens, storefront)
    storefront.renew()
    headers = direct(tokens, storefront)
    with orders.client(storefront) as client:
        assert client.get("/orders", headers=headers).status_code == 200


def test_a_guard_that_cannot_know_lets_nobody_in(
    told: Shelf,
    tokens: Tokens,
    orders: Service,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """503 from the bound on, on the open connection; when lists are back, so is it."""
    headers = direct(tokens, storefront)
    with orders.client(storefront) as client:
        assert client.get("/orders", headers=headers).status_code == 200
        told.code = 503
        tokens.clock.moment += BOUND - timedelta(seconds=1)
        assert client.get("/orders", headers=headers).status_code == 200
        tokens.clock.move(seconds=1)
        answer = client.get("/orders", headers=headers)
        assert answer.status_code == 503
        assert answer.json() == {"error": "temporarily_unavailable"}
        assert answer.headers["retry-after"]
        assert lines(caplog)[-1]["cause"] == "StatusUnknownError"
        told.code = 200
        tokens.clock.move(seconds=1)
        assert client.get("/orders", headers=headers).status_code == 200


def forwarded(caller: Instance) -> dict[str, str]:
    """Return the field by which a proxy names its caller."""
    return {"client-cert": client_cert(caller.generation.certificate).decode()}


def test_behind_a_proxy_its_caller_is_refused(
    told: Shelf, tokens: Tokens, orders: Service, storefront: Instance, mesh: Mesh
) -> None:
    """The certificate that was forwarded is looked up as well."""
    headers = direct(tokens, storefront) | forwarded(storefront)
    with orders.client(mesh.instance("proxy")) as client:
        assert client.get("/orders", headers=headers).status_code == 200
        revoke(told, tokens, storefront)
        assert client.get("/orders", headers=headers).status_code == 401


def test_a_revoked_proxy_is_not_believed(
    told: Shelf, tokens: Tokens, orders: Service, storefront: Instance, mesh: Mesh
) -> None:
    """Whoever has its key names nobody."""
    proxy = mesh.instance("proxy")
    headers = direct(tokens, storefront) | forwarded(storefront)
    with orders.client(proxy) as client:
        revoke(told, tokens, proxy)
        assert client.get("/orders", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
def test_the_token_service_refuses_a_revoked_client(
    told: Shelf,
    tokens: Tokens,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
    path: str,
) -> None:
    """invalid_client (RFC 6749, section 5.2) at every endpoint, on the connection."""
    form = request(token="none")
    with tokens.client(storefront) as client:
        assert client.post(path, data=form).status_code != 401
        revoke(told, tokens, storefront)
        answer = client.post(path, data=form)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert lines(caplog)[-1]["cause"] == "RevokedCertificateError"


def test_a_token_service_that_cannot_know_gives_nothing(
    told: Shelf,
    tokens: Tokens,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """503 until the lists are back."""
    wanted = {"client_id": "storefront-direct"}
    lose(told, tokens)
    answer = tokens.ask(storefront, **wanted)
    assert (answer.status_code, answer.json()["error"]) == (
        503,
        "temporarily_unavailable",
    )
    assert lines(caplog)[-1]["cause"] == "CertificateStatusError"
    told.code = 200
    tokens.clock.move(seconds=1)
    assert tokens.ask(storefront, **wanted).status_code == 200


@pytest.fixture
def edge(
    mesh: Mesh, serve: Serve, told: Shelf, tokens: Tokens, tmp_path: Path
) -> Iterator[Callable[[Instance], httpx.Response]]:
    """Return a question to a gateway that looks certificates up."""

    def behind(own: Workload) -> ASGIApp:
        return orders_app(own, tokens.clock)

    looked_up = looking(serve, told, tokens.clock)
    with edges.standing(
        mesh, looked_up, tmp_path, app=behind, tokens=tokens
    ) as standing:
        held: dict[int, str] = {}

        def ask(caller: Instance) -> httpx.Response:
            if caller.generation.serial not in held:
                held[caller.generation.serial] = tokens.token(
                    caller, client_id="storefront", resource=edges.AUDIENCE
                )
            return standing.get(held[caller.generation.serial], caller=caller)

        yield ask


def test_a_gateway_refuses_a_revoked_caller(
    told: Shelf,
    tokens: Tokens,
    edge: Callable[[Instance], httpx.Response],
    storefront: Instance,
) -> None:
    """As a guard does, and 503 while it cannot know."""
    assert edge(storefront).status_code == 200
    lose(told, tokens)
    assert edge(storefront).status_code == 503
    told.code = 200
    revoke(told, tokens, storefront)
    answer = edge(storefront)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


class Calls:
    """A caller that keeps its connections, and a server that says what it was asked."""

    def __init__(self, caller: Instance, callee: Instance, status: Any) -> None:
        self.asked: list[str] = []
        self._status = status
        self._transport = IdentityTransport(
            caller.live(), callee.spiffe_id, status=status
        )

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        if scope["type"] == "http":
            self.asked.append(scope["path"])
        await mirror(scope, receive, send)

    async def run(self, url: str, *steps: str | Callable[[], None]) -> list[str]:
        """Ask for each path and do what stands between; return which were refused."""
        refused = []
        async with httpx.AsyncClient(transport=self._transport, base_url=url) as client:
            for step in steps:
                if not isinstance(step, str):
                    step()
                    continue
                try:
                    await client.get(step)
                except httpx.ConnectError as error:
                    refused.append(f"{step} {str(error).partition(':')[0]}")
        await self._status.aclose()
        return refused


@pytest.fixture
def stock(mesh: Mesh) -> Instance:
    """Return who is called."""
    return mesh.instance("stock")


def test_a_revoked_server_is_not_called(
    serve: Serve, told: Shelf, tokens: Tokens, storefront: Instance, stock: Instance
) -> None:
    """Neither on the open connection nor on a new one; nothing is sent to it."""
    calls = Calls(storefront, stock, told.status(tokens.clock))

    def withdraw() -> None:
        revoke(told, tokens, stock)

    with serve(calls, stock) as running:
        refused = asyncio.run(
            calls.run(running.url, "/first", withdraw, "/kept", "/new")
        )
    assert refused == [f"{path} {REFUSAL}" for path in ("/kept", "/new")]
    assert calls.asked == ["/first"]


def test_a_server_with_a_new_certificate_is_called_on_a_new_connection(
    serve: Serve, told: Shelf, tokens: Tokens, storefront: Instance, stock: Instance
) -> None:
    """What it showed on the open one is revoked, and no request fails for that."""
    calls = Calls(storefront, stock, told.status(tokens.clock))

    def replace() -> None:
        revoke(told, tokens, stock)
        stock.renew()

    with serve(calls, stock.live(count(step=60).__next__)) as running:
        asked = ("/first", "/again", "/once")
        refused = asyncio.run(calls.run(running.url, *asked[:1], replace, *asked[1:]))
    assert refused == []
    assert calls.asked == [*asked]


def test_a_server_of_unknown_status_is_not_called(
    serve: Serve, told: Shelf, tokens: Tokens, storefront: Instance, stock: Instance
) -> None:
    """Until the lists are back."""
    calls = Calls(storefront, stock, told.status(tokens.clock))

    def return_() -> None:
        told.code = 200
        tokens.clock.move(seconds=1)

    def away() -> None:
        lose(told, tokens)

    with serve(calls, stock) as running:
        refused = asyncio.run(
            calls.run(running.url, "/first", away, "/kept", "/new", return_, "/back")
        )
    assert refused == [f"{path} {REFUSAL}" for path in ("/kept", "/new")]
    assert calls.asked == ["/first", "/back"]


def test_our_name_by_somebody_elses_path_is_refused(
    mesh: Mesh, foreign_mesh: Mesh, told: Shelf, tokens: Tokens
) -> None:
    """Its own list would not be asked: whoever cross-certified our CA saves nobody."""
    seen: list[object] = []

    async def app(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["extensions"]["tls"][STATUS])

    async def ask(instance: Instance) -> None:
        layer: Any = checked(app, told.status(tokens.clock))
        der = instance.generation.certificate.public_bytes(Encoding.DER)
        tls = {"client_cert": der, "client_cert_chain": (), OUTSIDE: True}
        await layer({"type": "http", "extensions": {"tls": tls}}, None, None)

    asyncio.run(ask(mesh.instance("orders")))
    asyncio.run(ask(foreign_mesh.instance("orders")))
    assert isinstance(seen[0], OutsidePeerError)
    assert seen[1] is None
