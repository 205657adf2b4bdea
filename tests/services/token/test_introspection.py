"""Tests of `services.token.introspection`: what a token is, for whom it is for."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.proof.errors import WrongTypeError
from services.proof.jws import parse, verify
from tests.services.documents import ORDERS_AUDIENCE
from tests.services.fleet import TokenService, replicas
from tests.services.holding import Holder, bound
from tests.services.logged import lines, listen
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import STOCK_AUDIENCE

SIGNED = "application/token-introspection+jwt"
INACTIVE = {"active": False}


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TokenService]:
    """Return a token service."""
    with replicas(mesh, serve, tmp_path_factory.mktemp("tokens")) as (running,):
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the client that tokens are issued to."""
    return mesh.instance("storefront")


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the resource service that asks."""
    return mesh.instance("orders")


@pytest.fixture
def ask(tokens: TokenService, orders: Instance) -> Any:
    """Return a function that asks as orders, but for what it is given."""

    def ask(
        token: str, accept: str = "", caller: Instance = orders, **changes: str
    ) -> httpx.Response:
        form = {"client_id": "orders", "token": token, **changes}
        headers = {"Accept": accept} if accept else {}
        return tokens.post(caller, "/introspect", headers, **form)

    return ask


@pytest.mark.parametrize("client_id", ["storefront", "opaque"])
def test_an_active_token_is_told_whole(
    tokens: TokenService, storefront: Instance, ask: Any, client_id: str
) -> None:
    """Everything a guard needs, `cnf` at the top level (RFC 8705, section 3.2)."""
    answer = ask(tokens.token(storefront, client_id=client_id))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    told = answer.json()
    assert told.pop("jti")
    issued = int(tokens.clock().timestamp())
    assert told == {
        "active": True,
        "token_type": "Bearer",
        "iss": tokens.issuer,
        "aud": ORDERS_AUDIENCE,
        "sub": client_id,
        "client_id": client_id,
        "scope": "orders.read",
        "iat": issued,
        "exp": issued + 300,
        "cnf": {"x5t#S256": storefront.generation.thumbprint},
    }


def test_a_key_is_told_with_its_type(
    tokens: TokenService, storefront: Instance, ask: Any
) -> None:
    """A token bound to a key has `cnf.jkt` and the type DPoP (RFC 9449, 6.2)."""
    holder = Holder(tokens.clock)
    told = ask(bound(tokens, storefront, holder)).json()
    assert told["cnf"] == {"jkt": holder.prover.thumbprint}
    assert told["token_type"] == "DPoP"


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense"])
def test_a_hint_is_only_a_hint(
    tokens: TokenService, storefront: Instance, ask: Any, hint: str
) -> None:
    """A wrong one does not make a token unknown (RFC 7662, section 2.1)."""
    answer = ask(tokens.token(storefront), token_type_hint=hint)
    assert answer.json()["active"] is True


@pytest.mark.parametrize("accept", ["", SIGNED], ids=["plain", "signed"])
@pytest.mark.parametrize(
    "kind",
    ["unknown", "unknown-opaque", "garbage", "expired", "revoked", "other-audience"],
)
@pytest.mark.parametrize("client_id", ["storefront", "opaque"])
def test_a_dead_token_is_not_active_and_nothing_more(  # noqa: PLR0913, PLR0917 - fixtures
    tokens: TokenService,
    storefront: Instance,
    mesh: Mesh,
    ask: Any,
    kind: str,
    client_id: str,
    accept: str,
) -> None:
    """Which of the reasons it was is not told, signed or not (7662, 2.2; 9701, 5)."""
    text = tokens.token(storefront, client_id=client_id)
    caller: dict[str, Any] = {}
    assert ask(text).json()["active"] is True
    if kind == "unknown":
        text = text[:-8] + "AAAAAAAA"
    elif kind == "unknown-opaque":
        text = "cbo_" + "A" * 43
    elif kind == "garbage":
        text = "a b\u00e9"
    elif kind == "expired":
        tokens.clock.move(seconds=300)
    elif kind == "revoked":
        done = tokens.post(storefront, "/revoke", client_id=client_id, token=text)
        assert done.status_code == 200
    else:
        caller = {"caller": mesh.instance("stock"), "client_id": "stock"}
    answer = ask(text, accept, **caller)
    assert answer.status_code == 200
    if not accept:
        assert answer.json() == INACTIVE
        return
    claims = opened(tokens, storefront, answer)
    assert claims["token_introspection"] == INACTIVE


def opened(
    tokens: TokenService, caller: Instance, answer: httpx.Response
) -> dict[str, Any]:
    """Return the claims of a signed answer."""
    unverified = parse(answer.text)
    key = tokens.keys(caller)[unverified.key_id]
    with pytest.raises(WrongTypeError):
        verify(unverified, key, types=frozenset({"at+jwt"}))
    claims = verify(unverified, key, types=frozenset({"token-introspection+jwt"}))
    return dict(claims)


def test_a_signed_answer_cannot_pass_for_a_token(
    tokens: TokenService, storefront: Instance, orders: Instance, ask: Any
) -> None:
    """Its type is its own, and `sub` and `exp` stand inside only (9701, 5, 8.1)."""
    text = tokens.token(storefront)
    answer = ask(text, SIGNED)
    assert answer.headers["content-type"] == SIGNED
    assert answer.headers["cache-control"] == "no-store"
    claims = opened(tokens, orders, answer)
    assert set(claims) == {"iss", "aud", "iat", "token_introspection"}
    assert claims["iss"] == tokens.issuer
    assert claims["aud"] == ORDERS_AUDIENCE
    assert claims["iat"] == int(tokens.clock().timestamp())
    assert claims["token_introspection"] == ask(text).json()


@pytest.mark.parametrize("accept", ["application/jwt", "application/json", "*/*"])
def test_another_wish_is_answered_in_json(
    tokens: TokenService, storefront: Instance, ask: Any, accept: str
) -> None:
    """Only the one media type asks for a signature (RFC 9701, section 4)."""
    answer = ask(tokens.token(storefront), accept)
    assert answer.headers["content-type"] == "application/json"


def test_a_client_that_is_no_service_is_told_nothing(
    tokens: TokenService, storefront: Instance, ask: Any
) -> None:
    """Not even of its own token: what it needs, it was told with it."""
    text = tokens.token(storefront)
    answer = ask(text, caller=storefront, client_id="storefront")
    assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")


def test_who_is_not_the_client_is_told_nothing(
    tokens: TokenService, storefront: Instance, ask: Any
) -> None:
    """The caller is authenticated as at the token endpoint (RFC 7662, 2.1, 2.3)."""
    answer = ask(tokens.token(storefront), caller=storefront)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_a_token_must_be_asked_about(ask: Any) -> None:
    """The parameter is required (RFC 7662, section 2.1)."""
    answer = ask("")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_token_in_the_query_is_refused(
    tokens: TokenService, storefront: Instance, orders: Instance
) -> None:
    """By then it stands in logs."""
    path = f"/introspect?token={tokens.token(storefront)}"
    answer = tokens.post(orders, path, client_id="orders")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_only_post_asks(tokens: TokenService, orders: Instance, method: str) -> None:
    """Another method would put the token into the URI (RFC 7662, section 2.1)."""
    with tokens.client(orders) as client:
        assert client.request(method, "/introspect").status_code == 405


def test_an_answer_is_logged_without_the_token(
    tokens: TokenService, storefront: Instance, ask: Any, caplog: Any
) -> None:
    """Who asked, about which id, and what the answer was."""
    listen(caplog)
    text = tokens.token(storefront)
    ask(text)
    line = lines(caplog)[-1]
    assert (line["event"], line["active"]) == ("introspection.answered", True)
    assert (line["client_id"], bool(line["token_id"])) == ("orders", True)
    assert text.split(".")[1] not in str(line)


def test_the_view_is_the_audiences(
    tokens: TokenService, orders: Instance, mesh: Mesh, ask: Any
) -> None:
    """Orders' token for stock is nothing to orders, and active for stock."""
    text = tokens.token(
        orders, client_id="orders", resource=STOCK_AUDIENCE, scope="stock.read"
    )
    assert ask(text).json() == INACTIVE
    stock = mesh.instance("stock")
    assert ask(text, caller=stock, client_id="stock").json()["active"] is True
