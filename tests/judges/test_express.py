"""express-oauth2-jwt-bearer as a resource server: takes our tokens, refuses thieves.

It is told to demand a bound token (`/required`) or to take one (`/enabled`).
"""

from collections.abc import Iterator

import httpx
import pytest

from services.proof.dpop_client import DpopKey
from tests.judges import processes
from tests.judges.npm import Node
from tests.judges.presenting import Caller
from tests.judges.standing import NEXT_AUDIENCE, Standing
from tests.judges.verdicts import Judge, Verdict
from tests.services.proxies.standing import free_ports

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


@pytest.fixture(scope="module")
def server(
    stand: Standing, node: Node, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the root of the server."""
    (port,) = free_ports(1)
    log = tmp_path_factory.mktemp("express") / "log"
    given = stand.given() | {"port": port}
    with processes.running(node.command("express.mjs"), log, port=port, given=given):
        yield f"https://localhost:{port}"


@pytest.fixture
def judge(node: Node) -> Judge:
    """Return the server by name and version."""
    return node.judge("express-oauth2-jwt-bearer")


@pytest.fixture
def storefront(stand: Standing) -> Caller:
    """Return the caller."""
    return Caller(stand, "storefront")


@pytest.fixture
def thief(stand: Standing) -> Caller:
    """Return who has a certificate of the mesh, and none of the tokens."""
    return Caller(stand, "stock")


def _is_refused(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_it_takes_a_bound_token(
    server: str, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Where a bound token is due, ours opens with the certificate it names."""
    answer = storefront.show(storefront.token(), f"{server}/required")
    assert answer.json() == {"caller": "storefront"}
    verdict(judge, accepted="certificate-bound token")


def test_it_takes_a_token_bound_to_a_key(
    server: str, stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """Our proof of our key goes with our token."""
    caller = Caller(stand, "storefront", DpopKey())
    token = caller.token("storefront-dpop")
    answer = caller.show(token, f"{server}/enabled")
    assert answer.json() == {"caller": "storefront-dpop"}
    verdict(judge, accepted="DPoP token")


def test_it_refuses_a_stolen_token(
    server: str, storefront: Caller, thief: Caller, judge: Judge, verdict: Verdict
) -> None:
    """The same token on a connection with another certificate opens nothing."""
    token = storefront.token()
    assert _is_refused(thief.show(token, f"{server}/required"))
    assert _is_refused(thief.show(token, f"{server}/enabled"))
    verdict(judge, refused="stolen token")


def test_it_refuses_a_token_bound_to_another_key(
    server: str, stand: Standing, judge: Judge, verdict: Verdict
) -> None:
    """A proof by a thief's key does not go with our token."""
    token = Caller(stand, "storefront", DpopKey()).token("storefront-dpop")
    answer = Caller(stand, "storefront", DpopKey()).show(token, f"{server}/enabled")
    assert _is_refused(answer)
    verdict(judge, refused="another key")


def test_it_refuses_a_key_bound_token_as_bearer(
    server: str, stand: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Our token bound to a key is not taken without its proof."""
    token = Caller(stand, "storefront", DpopKey()).token("storefront-dpop")
    assert _is_refused(storefront.show(token, f"{server}/enabled"))
    verdict(judge, refused="DPoP token as Bearer")


def test_it_refuses_an_unbound_token(
    server: str, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """Where a bound token is due, our bearer token is none."""
    token = storefront.token("storefront-bearer")
    assert _is_refused(storefront.show(token, f"{server}/required"))
    verdict(judge, refused="bearer token")


def test_it_refuses_a_caller_without_certificate(
    server: str, stand: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """A bound token alone is not enough; it answers 400, not 401."""
    headers = {"Authorization": f"Bearer {storefront.token()}"}
    with httpx.Client(verify=stand.context(), trust_env=False) as client:
        answer = client.get(f"{server}/required", headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    verdict(judge, refused="no certificate")


def test_it_refuses_a_token_for_another_service(
    server: str, stand: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """The token that orders got for stock opens stock alone."""
    orders = Caller(stand, "orders")
    token = orders.token(
        grant_type=EXCHANGE,
        subject_token=storefront.token(),
        subject_token_type=ACCESS_TOKEN,
        resource=NEXT_AUDIENCE,
        scope="stock.read",
    )
    assert _is_refused(orders.show(token, f"{server}/required"))
    verdict(judge, refused="token for another service")


def test_it_refuses_a_signed_introspection(
    server: str, stand: Standing, storefront: Caller, judge: Judge, verdict: Verdict
) -> None:
    """What the token service signs about a token is no token (RFC 9701, 8.1)."""
    answer = Caller(stand, "orders").ask(
        "/introspect",
        accept="application/token-introspection+jwt",
        client_id="orders",
        token=storefront.token(),
    )
    assert _is_refused(storefront.show(answer.text, f"{server}/required"))
    verdict(judge, refused="introspection answer as a token")
