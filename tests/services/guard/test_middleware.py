"""Tests of `services.guard.middleware`: requests over real mutual TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.documents import ORDERS_AUDIENCE
from tests.services.guarding import Service, bearer, guarded
from tests.services.logged import lines, listen, only_line
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import STOCK_AUDIENCE, Tokens, token_service
from tests.services.tokens import Signer, claims, compact


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory for the processes of this module."""
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="module")
def tokens(mesh: Mesh, serve: Serve, directory: Path) -> Iterator[Tokens]:
    """Return a token service."""
    with token_service(mesh, serve, directory) as running:
        yield running


@pytest.fixture(scope="module")
def orders(
    mesh: Mesh, serve: Serve, tokens: Tokens, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return the service that is called."""
    home = tmp_path_factory.mktemp("orders")
    guard = {
        "audience": ORDERS_AUDIENCE,
        "resource": "/orders",
        "scopes": ["orders.read"],
        "bearer_clients": ["bearer"],
    }
    with guarded(tokens, serve, mesh.instance("orders"), home, guard=guard) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the service that calls."""
    return mesh.instance("storefront")


@pytest.fixture(scope="module")
def stock(mesh: Mesh) -> Instance:
    """Return the thief: a service with a valid certificate of its own."""
    return mesh.instance("stock")


@pytest.fixture(scope="module")
def token(tokens: Tokens, storefront: Instance) -> str:
    """Return the storefront's token."""
    return tokens.token(storefront)


def challenged(answer: httpx.Response, status: int, code: str) -> None:
    """Check that an answer is a refusal of this form, which nobody may store."""
    assert answer.status_code == status
    assert f'error="{code}"' in answer.headers["www-authenticate"]
    assert answer.json()["error"] == code
    assert answer.headers["cache-control"] == "no-store"


def test_a_token_opens_over_its_own_connection(
    orders: Service, storefront: Instance, token: str
) -> None:
    """The application is told who calls."""
    answer = orders.get(storefront, token)
    assert answer.status_code == 200
    assert answer.json() == {"caller": "storefront", "bound": True}


def test_without_a_token_one_is_asked_for(
    orders: Service, storefront: Instance
) -> None:
    """A certificate alone opens nothing, and the challenge names no error."""
    with orders.client(storefront) as client:
        answer = client.get("/orders")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        f'Bearer realm="{ORDERS_AUDIENCE}", resource_metadata='
        f'"{ORDERS_AUDIENCE}/.well-known/oauth-protected-resource"'
    )


def test_a_stolen_token_is_refused(
    orders: Service, stock: Instance, token: str
) -> None:
    """Another service's valid certificate does not fit the token."""
    challenged(orders.get(stock, token), 401, "invalid_token")


def test_an_unbound_token_is_refused(
    orders: Service, tokens: Tokens, storefront: Instance
) -> None:
    """A bearer token of a client that is not named opens nothing, for anybody."""
    unbound = tokens.token(storefront, client_id="other-bearer")
    challenged(orders.get(storefront, unbound), 401, "invalid_token")


def test_an_unbound_token_of_a_named_client_opens(
    orders: Service, tokens: Tokens, storefront: Instance, stock: Instance
) -> None:
    """That is what a bearer token is: it opens for the thief as well."""
    unbound = tokens.token(storefront, client_id="bearer")
    for caller in (storefront, stock):
        answer = orders.get(caller, unbound)
        assert answer.json() == {"caller": "bearer", "bound": False}


def test_a_token_for_another_service_is_refused(
    orders: Service, tokens: Tokens
) -> None:
    """A genuine token, bound to the caller, is for one audience only."""
    own = tokens.token(
        orders.instance, client_id="orders", resource=STOCK_AUDIENCE, scope="stock.read"
    )
    challenged(orders.get(orders.instance, own), 401, "invalid_token")


def test_two_headers_are_a_bad_request(
    orders: Service, storefront: Instance, token: str
) -> None:
    """Even with the same good token in both."""
    twice = [("Authorization", f"Bearer {token}")] * 2
    with orders.client(storefront) as client:
        challenged(client.get("/orders", headers=twice), 400, "invalid_request")


def test_a_token_in_the_query_is_a_bad_request(
    orders: Service, storefront: Instance, token: str
) -> None:
    """Even beside a good header."""
    with orders.client(storefront) as client:
        answer = client.get(f"/orders?access_token={token}", headers=bearer(token))
    challenged(answer, 400, "invalid_request")


@pytest.mark.parametrize("place", ["form", "cookie", "other-scheme"])
def test_a_token_elsewhere_is_none(
    orders: Service, storefront: Instance, token: str, place: str
) -> None:
    """Body, cookie and other schemes are not looked at (RFC 6750, section 2)."""
    sent: dict[str, dict[str, Any]] = {
        "form": {"method": "POST", "data": {"access_token": token}},
        "cookie": {"method": "GET", "headers": {"Cookie": f"access_token={token}"}},
        "other-scheme": {
            "method": "GET",
            "headers": {"Authorization": f"Basic {token}"},
        },
    }
    with orders.client(storefront) as client:
        answer = client.request(url="/orders", **sent[place])
    assert answer.status_code == 401
    assert "error" not in answer.headers["www-authenticate"]


def test_a_missing_scope_is_a_403(
    orders: Service, storefront: Instance, token: str
) -> None:
    """The application's demand becomes the answer of RFC 6750, section 3.1."""
    with orders.client(storefront) as client:
        answer = client.post("/orders", headers=bearer(token))
    challenged(answer, 403, "insufficient_scope")
    assert 'scope="orders.write"' in answer.headers["www-authenticate"]


def test_a_held_scope_reaches_further(
    orders: Service, tokens: Tokens, storefront: Instance
) -> None:
    """A token with the scope opens the same request."""
    wider = tokens.token(storefront, scope="orders.write")
    with orders.client(storefront) as client:
        assert client.post("/orders", headers=bearer(wider)).status_code == 200


def _tampered(token: str) -> dict[str, str]:
    header, payload, signature = token.split(".")
    signer = Signer()
    forged = {"typ": "at+jwt", "kid": "invented"}
    return {
        "payload": f"{header}.{payload[:-5]}AAAAA.{signature}",
        "signature": f"{header}.{payload}.{'A' * len(signature)}",
        "unsigned": f"{header}.{payload}.",
        "none": compact({"alg": "none", **forged}, claims(), b"x"),
        "another-key": signer.token(),
        "garbage": "abc.def.ghi",
        "no-jws": "opaque-token",
        "long": "a" * 9000,
        "deep": "eyJ" + "W" * 4000 + ".a.a",
    }


@pytest.mark.parametrize("fault", list(_tampered("a.b.c")))
def test_a_tampered_token_is_refused(
    orders: Service, storefront: Instance, token: str, fault: str
) -> None:
    """Whatever is no token of ours is refused, and the service goes on."""
    challenged(orders.get(storefront, _tampered(token)[fault]), 401, "invalid_token")
    assert orders.get(storefront, token).status_code == 200


def test_a_refusal_is_logged_with_its_reason(
    orders: Service,
    storefront: Instance,
    stock: Instance,
    token: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line says why, who and where, and never the token."""
    orders.get(stock, token)
    line = only_line(caplog)
    assert (line["event"], line["level"]) == ("request.refused", "warning")
    assert (line["code"], line["cause"]) == ("invalid_token", "WrongCertificateError")
    assert storefront.generation.thumbprint in line["reason"]
    assert (line["method"], line["path"]) == ("GET", "/orders")
    assert line["peer"] == "spiffe://shop.internal/service/stock"
    assert line["certificate"] == format(stock.generation.serial, "x")
    assert token not in str(line)


def test_no_refusal_logs_the_token(
    orders: Service, storefront: Instance, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Tokens in wrong places come as far as the log, and are cut out there."""
    listen(caplog)
    with orders.client(storefront) as client:
        client.get(f"/orders/{token}", headers=bearer(token + token))
        client.get(f"/orders?access_token={token}")
        client.get("/orders", headers=[("Authorization", f"Bearer {token}")] * 2)
        client.get(f"/{token}", headers={"Authorization": f"Bearer {token} {token}"})
    assert len(lines(caplog)) == 4
    assert token.rpartition(".")[0] not in str(lines(caplog))
