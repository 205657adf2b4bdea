"""Tests of `services.guard.judgement`: DPoP at a resource service (RFC 9449, 7-9)."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from services.proof.nonce import STEP
from tests.services.fleet import Standing, TokenService, replicas, standing
from tests.services.holding import Holder, bound, introduced
from tests.services.logged import lines, only_line
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.tokens import ABSENT

ALGS = 'algs="'


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TokenService]:
    """Return a token service."""
    with replicas(mesh, serve, tmp_path_factory.mktemp("tokens")) as (running,):
        yield running


@pytest.fixture(scope="module")
def both(
    mesh: Mesh,
    serve: Serve,
    tokens: TokenService,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Sequence[Standing]]:
    """Return two replicas of orders that share a store, reached by either's URL."""
    home = tmp_path_factory.mktemp("orders")
    with ExitStack() as opened:
        first = opened.enter_context(
            standing(
                tokens,
                serve,
                mesh.instance("orders"),
                home / "1",
                store=str(home / "shared.sqlite"),
            )
        )
        second = opened.enter_context(
            standing(
                tokens,
                serve,
                mesh.instance("orders"),
                home / "2",
                store=str(home / "shared.sqlite"),
                guard={"origins": ["https://orders.shop.internal", first.url]},
            )
        )
        yield first, second


@pytest.fixture
def orders(both: Sequence[Standing]) -> Standing:
    """Return the first of them."""
    return both[0]


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the service that calls."""
    return mesh.instance("storefront")


@pytest.fixture(scope="module")
def stock(mesh: Mesh) -> Instance:
    """Return the thief: a service with a valid certificate of its own."""
    return mesh.instance("stock")


@pytest.fixture(scope="module")
def owner(tokens: TokenService) -> Holder:
    """Return the key that the token is bound to."""
    return Holder(tokens.clock)


@pytest.fixture(scope="module")
def token(tokens: TokenService, storefront: Instance, owner: Holder) -> str:
    """Return a token that is bound to the owner's key."""
    return bound(tokens, storefront, owner)


@pytest.fixture
def holder(orders: Standing, storefront: Instance, owner: Holder, token: str) -> Holder:
    """Return the owner, who has a nonce of the service."""
    introduced(orders, storefront, owner, token)
    return owner


def challenges(answer: httpx.Response) -> dict[str, str]:
    """Return the parameters of each scheme's challenge, as text."""
    _, *parts = re.split(r"\b(Bearer|DPoP) realm=", answer.headers["www-authenticate"])
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    assert len(parts) == 4
    return found


def refused(answer: httpx.Response, scheme: str, code: str, status: int = 401) -> None:
    """Check the refusal: both schemes are named, the error at the one that was used."""
    assert answer.status_code == status
    other = {"Bearer": "DPoP", "DPoP": "Bearer"}[scheme]
    told = challenges(answer)
    assert f'error="{code}"' in told[scheme]
    assert "error" not in told[other]
    assert ALGS in told["DPoP"]
    assert ALGS not in told["Bearer"]
    assert answer.json()["error"] == code
    assert answer.headers["cache-control"] == "no-store"


def test_a_token_opens_with_a_proof_by_its_key(
    orders: Standing, storefront: Instance, holder: Holder, token: str
) -> None:
    """Token, key, URI, method and nonce fit, and the next nonce comes along."""
    answer = orders.ask(storefront, holder.headers(token, f"{orders.url}/orders"))
    assert answer.status_code == 200
    assert answer.json() == {"caller": "dpop", "bound": True}


def test_the_key_alone_decides_who_holds_it(
    orders: Standing, stock: Instance, holder: Holder, token: str
) -> None:
    """A token that is bound to a key may come over any certificate of ours."""
    answer = orders.ask(stock, holder.headers(token, f"{orders.url}/orders"))
    assert answer.status_code == 200


def test_both_schemes_are_offered(orders: Standing, storefront: Instance) -> None:
    """Where there was no token, neither is accused (section 7.2)."""
    answer = orders.ask(storefront, {})
    assert answer.status_code == 401
    told = challenges(answer)
    assert "error" not in told["Bearer"] + told["DPoP"]
    assert ALGS in told["DPoP"]


@pytest.mark.parametrize("scheme", ["dpop", "DPOP"])
def test_the_scheme_has_no_case(
    orders: Standing, storefront: Instance, holder: Holder, token: str, scheme: str
) -> None:
    """It is a scheme like any other (section 7.1)."""
    headers = holder.headers(token, f"{orders.url}/orders")
    headers["Authorization"] = f"{scheme} {token}"
    assert orders.ask(storefront, headers).status_code == 200


def test_a_stolen_token_without_a_proof_is_refused(
    orders: Standing, stock: Instance, storefront: Instance, holder: Holder, token: str
) -> None:
    """It is all that a log or a proxy can leak; that it is known helps nobody."""
    known = orders.ask(storefront, holder.headers(token, f"{orders.url}/orders"))
    assert known.status_code == 200
    for caller in (stock, storefront):
        answer = orders.ask(caller, {"Authorization": f"DPoP {token}"})
        refused(answer, "DPoP", "invalid_dpop_proof")


def test_a_stolen_token_as_bearer_is_refused(
    orders: Standing, stock: Instance, storefront: Instance, token: str
) -> None:
    """A bound token is no bearer token, whoever sends it (section 7.2)."""
    for caller in (stock, storefront):
        answer = orders.ask(caller, {"Authorization": f"Bearer {token}"})
        refused(answer, "Bearer", "invalid_token")


@pytest.mark.parametrize("caller", ["stock", "storefront"])
def test_a_proof_by_another_key_is_refused(  # noqa: PLR0913, PLR0917 - fixtures
    tokens: TokenService,
    orders: Standing,
    stock: Instance,
    storefront: Instance,
    holder: Holder,
    token: str,
    caller: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is good in itself; the certificate beside it may even be the owner's."""
    known = orders.ask(storefront, holder.headers(token, f"{orders.url}/orders"))
    assert known.status_code == 200
    thief, instance = Holder(tokens.clock), {"stock": stock}.get(caller, storefront)
    introduced(orders, instance, thief, token)
    caplog.clear()
    answer = orders.ask(instance, thief.headers(token, f"{orders.url}/orders"))
    refused(answer, "DPoP", "invalid_token")
    assert only_line(caplog)["cause"] == "WrongKeyError"


@pytest.mark.parametrize("replica", [0, 1], ids=["same", "other"])
def test_a_replayed_proof_is_refused(  # noqa: PLR0913, PLR0917 - fixtures
    both: Sequence[Standing],
    storefront: Instance,
    stock: Instance,
    holder: Holder,
    token: str,
    replica: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What a proxy saw go by opens nothing, at the other replica neither (11.1)."""
    headers = holder.headers(token, f"{both[0].url}/orders")
    assert both[0].ask(storefront, headers).status_code == 200
    for caller in (stock, storefront):
        refused(both[replica].ask(caller, headers), "DPoP", "invalid_dpop_proof")
    assert {line["cause"] for line in lines(caplog)} == {"ReplayedProofError"}


def test_a_refused_request_does_not_spend_its_proof(
    both: Sequence[Standing], storefront: Instance, holder: Holder, token: str
) -> None:
    """The proof that came with a spoilt token is still good for the real one."""
    headers = holder.headers(token, f"{both[0].url}/orders")
    spoilt = {**headers, "Authorization": f"DPoP {token}x"}
    assert both[0].ask(storefront, spoilt).status_code == 401
    assert both[1].ask(storefront, headers).status_code == 200


@pytest.mark.parametrize(
    "fault",
    [
        {"ath": ABSENT},
        {"ath": "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"},
        {"htu": "https://localhost:1/orders"},
        {"htu": "https://orders.shop.internal/orders"},
        {"htm": "POST"},
        {"iat": 0},
    ],
    ids=str,
)
def test_one_fault_in_the_proof_is_enough(
    orders: Standing,
    storefront: Instance,
    holder: Holder,
    token: str,
    fault: dict[str, Any],
) -> None:
    """Signed by the right key, and made for something else."""
    headers = holder.headers(token, f"{orders.url}/orders", **fault)
    refused(orders.ask(storefront, headers), "DPoP", "invalid_dpop_proof")


def test_a_proof_for_another_path_is_refused(
    orders: Standing, storefront: Instance, holder: Holder, token: str
) -> None:
    """A proof opens the one resource it was made for."""
    headers = holder.headers(token, f"{orders.url}/elsewhere")
    refused(orders.ask(storefront, headers), "DPoP", "invalid_dpop_proof")


def test_any_origin_of_the_service_is_taken(
    both: Sequence[Standing], storefront: Instance, holder: Holder, token: str
) -> None:
    """Callers may come by several names, all of them configured."""
    for origin in ("https://orders.shop.internal", both[0].url):
        headers = holder.headers(token, f"{origin}/orders")
        assert both[1].ask(storefront, headers).status_code == 200
    headers = holder.headers(token, f"{both[1].url}/orders")
    refused(both[1].ask(storefront, headers), "DPoP", "invalid_dpop_proof")


@pytest.mark.parametrize("nonce", [ABSENT, "invented", ""], ids=repr)
def test_a_nonce_is_demanded(
    orders: Standing, storefront: Instance, holder: Holder, token: str, nonce: Any
) -> None:
    """Without one of ours the answer gives one, and no way back (9, 11.3)."""
    headers = holder.headers(token, f"{orders.url}/orders", nonce=nonce)
    answer = orders.ask(storefront, headers)
    refused(answer, "DPoP", "use_dpop_nonce")
    assert len(answer.headers.get_list("dpop-nonce")) == 1


def test_a_stale_nonce_is_refused(
    tokens: TokenService,
    orders: Standing,
    storefront: Instance,
    holder: Holder,
    token: str,
) -> None:
    """A proof made ahead, with a nonce of two steps ago, is too late (11.2)."""
    tokens.clock.move(seconds=2 * STEP.total_seconds())
    headers = holder.headers(token, f"{orders.url}/orders")
    answer = orders.ask(storefront, headers)
    refused(answer, "DPoP", "use_dpop_nonce")
    assert answer.headers["dpop-nonce"] != holder.nonce


def test_a_nonce_of_the_token_endpoint_is_refused(
    tokens: TokenService,
    orders: Standing,
    storefront: Instance,
    holder: Holder,
    token: str,
) -> None:
    """The two are not interchangeable (section 8)."""
    headers = {"DPoP": holder.proof("POST", f"{tokens.issuer}/token", nonce=ABSENT)}
    asked = tokens.post(
        storefront, "/token", headers, client_id="dpop", grant_type="client_credentials"
    )
    nonce = asked.headers["dpop-nonce"]
    answer = orders.ask(
        storefront, holder.headers(token, f"{orders.url}/orders", nonce=nonce)
    )
    refused(answer, "DPoP", "use_dpop_nonce")


def test_two_proofs_are_refused(
    orders: Standing, storefront: Instance, holder: Holder, token: str
) -> None:
    """Both are good, and which counts nobody can say (section 4.3, 1)."""
    uri = f"{orders.url}/orders"
    headers = [("Authorization", f"DPoP {token}")]
    headers += [("DPoP", holder.proof("GET", uri, token)) for _ in range(2)]
    refused(orders.ask(storefront, headers), "DPoP", "invalid_dpop_proof")


def test_a_proof_beside_bearer_is_a_bad_request(
    orders: Standing, storefront: Instance, holder: Holder, token: str
) -> None:
    """Even with a good proof of the right key."""
    headers = holder.headers(token, f"{orders.url}/orders")
    headers["Authorization"] = f"Bearer {token}"
    refused(orders.ask(storefront, headers), "Bearer", "invalid_request", 400)


def test_a_token_of_a_certificate_takes_no_proof(
    tokens: TokenService, orders: Standing, storefront: Instance
) -> None:
    """Its own certificate is there, and still the proof fits nothing (7.1)."""
    holder, text = Holder(tokens.clock), tokens.token(storefront)
    introduced(orders, storefront, holder, text)
    answer = orders.ask(storefront, holder.headers(text, f"{orders.url}/orders"))
    refused(answer, "DPoP", "invalid_token")
    sent = {"Authorization": f"Bearer {text}"}
    assert orders.ask(storefront, sent).status_code == 200


def test_an_unbound_token_takes_no_proof(
    mesh: Mesh,
    serve: Serve,
    tokens: TokenService,
    storefront: Instance,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A bearer token under the scheme DPoP is not bound to the key that is shown."""
    home = tmp_path_factory.mktemp("bearer")
    text = tokens.token(storefront, client_id="bearer")
    named = {"bearer_clients": ["bearer"]}
    instance = mesh.instance("orders")
    with standing(tokens, serve, instance, home, guard=named) as orders:
        holder = Holder(tokens.clock)
        introduced(orders, storefront, holder, text)
        answer = orders.ask(storefront, holder.headers(text, f"{orders.url}/orders"))
        refused(answer, "DPoP", "invalid_token")
        sent = {"Authorization": f"Bearer {text}"}
        assert orders.ask(storefront, sent).status_code == 200


def test_a_service_without_origins_takes_no_proof(  # noqa: PLR0913, PLR0917 - fixtures
    mesh: Mesh,
    serve: Serve,
    tokens: TokenService,
    storefront: Instance,
    owner: Holder,
    token: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """What a proof may name must be configured, or none is taken."""
    home = tmp_path_factory.mktemp("closed")
    instance = mesh.instance("orders")
    with standing(tokens, serve, instance, home, guard={"origins": []}) as orders:
        headers = owner.headers(token, f"{orders.url}/orders")
        answer = orders.ask(storefront, headers)
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_token"
        assert "DPoP" not in orders.ask(storefront, {}).headers["www-authenticate"]


def test_a_refusal_logs_neither_token_nor_proof(
    orders: Standing,
    storefront: Instance,
    holder: Holder,
    token: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line says why, and nothing that a reader of logs could use."""
    headers = holder.headers(token, f"{orders.url}/orders", htm="PUT")
    orders.ask(storefront, headers)
    line = only_line(caplog)
    assert line["cause"] == "WrongMethodError"
    for secret in (token, headers["DPoP"]):
        assert secret.split(".")[1] not in str(line)


def test_a_signed_introspection_answer_is_no_token(
    tokens: TokenService, orders: Standing, mesh: Mesh, storefront: Instance
) -> None:
    """It is signed by the right key and names this audience (RFC 9701, 8.1)."""
    answer = tokens.post(
        orders.instance,
        "/introspect",
        {"Accept": "application/token-introspection+jwt"},
        client_id="orders",
        token=tokens.token(storefront),
    )
    sent = {"Authorization": f"Bearer {answer.text}"}
    for caller in (storefront, orders.instance):
        refused(orders.ask(caller, sent), "Bearer", "invalid_token")


def test_an_opaque_token_is_for_the_gateway(
    tokens: TokenService, orders: Standing, storefront: Instance
) -> None:
    """A guard reads JWTs alone; what it cannot check it refuses."""
    opaque = tokens.token(storefront, client_id="opaque")
    sent = {"Authorization": f"Bearer {opaque}"}
    refused(orders.ask(storefront, sent), "Bearer", "invalid_token")
