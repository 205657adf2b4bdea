"""Tests of `services.guard.prover`: proofs on outgoing requests, and nonces learnt."""

from typing import Any

import httpx
import pytest

from services.guard.prover import Prover
from services.proof.dpop import DpopProof, verify_proof
from services.proof.nonce import NonceIssuer
from tests.services.tokens import NOW

HERE, THERE = "https://orders.shop.internal/x", "https://stock.shop.internal/x"


@pytest.fixture
def prover() -> Prover:
    """Return the prover of a process."""
    return Prover(lambda: NOW)


def sent(prover: Prover, uri: str = HERE, token: str | None = None) -> httpx.Request:
    """Return a request with a proof."""
    request = httpx.Request("GET", uri)
    prover.prove(request, token)
    return request


def answer(request: httpx.Request, status: int, nonce: str | None) -> httpx.Response:
    """Return what the server says."""
    headers = {"DPoP-Nonce": nonce} if nonce is not None else {}
    return httpx.Response(status, headers=headers, request=request)


class TakesAny:
    """Takes one nonce, and notes it."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def check(self, nonce: str, now: Any) -> None:
        """Take it."""
        self.found.append(nonce)


def checked(request: httpx.Request, **changes: Any) -> DpopProof:
    """Return the proof of a request, as its receiver sees it."""
    expected: dict[str, Any] = {
        "method": "GET",
        "uri": str(request.url),
        "now": NOW,
        "access_token": None,
        "nonces": None,
    }
    return verify_proof(request.headers["DPoP"], **{**expected, **changes})


def nonce_of(request: httpx.Request) -> str | None:
    """Return the nonce in a request's proof."""
    return checked(request, nonces=TakesAny()).nonce


def test_a_proof_is_for_this_request_and_token(prover: Prover) -> None:
    """Method, URI and token are those it goes out with; each has another id."""
    first, second = sent(prover, token="abc"), sent(prover, token="abc")
    one, two = (checked(request, access_token="abc") for request in (first, second))
    assert one.thumbprint == two.thumbprint
    assert one.token_id != two.token_id


def test_the_newest_nonce_of_each_server_goes_along(prover: Prover) -> None:
    """Nonces of one are nothing to another (RFC 9449, section 8.2)."""
    issued = NonceIssuer(bytes(32), "resource").issue(NOW)
    prover.learn(answer(sent(prover), 200, "old"))
    prover.learn(answer(sent(prover), 200, issued))
    prover.learn(answer(sent(prover, THERE), 200, "of-another"))
    assert nonce_of(sent(prover)) == issued
    assert nonce_of(sent(prover, THERE)) == "of-another"


@pytest.mark.parametrize("status", [400, 401])
def test_a_refusal_with_a_new_nonce_asks_again(prover: Prover, status: int) -> None:
    """Token endpoint and resource say so with different codes (sections 8, 9)."""
    assert prover.learn(answer(sent(prover), status, "new"))


@pytest.mark.parametrize("status", [200, 503])
def test_another_answer_does_not_ask_again(prover: Prover, status: int) -> None:
    """Its nonce is for the next request."""
    assert not prover.learn(answer(sent(prover), status, "new"))
    assert nonce_of(sent(prover)) == "new"


def test_a_refusal_of_the_newest_nonce_does_not_ask_again(prover: Prover) -> None:
    """Something else was wrong, and would be again."""
    prover.learn(answer(sent(prover), 401, "new"))
    assert not prover.learn(answer(sent(prover), 401, "new"))


def test_two_requests_that_learn_the_same_nonce_both_try_again(prover: Prover) -> None:
    """The second one went out without it, whoever learnt it meanwhile."""
    first, second = sent(prover), sent(prover)
    assert prover.learn(answer(first, 401, "new"))
    assert prover.learn(answer(second, 401, "new"))


def test_an_answer_without_a_nonce_teaches_nothing(prover: Prover) -> None:
    """What is known stays known."""
    prover.learn(answer(sent(prover), 200, "known"))
    assert not prover.learn(answer(sent(prover), 401, None))
    assert nonce_of(sent(prover)) == "known"


def test_servers_without_number_do_not_fill_the_memory(prover: Prover) -> None:
    """A nonce that is forgotten costs one more request, and no more."""
    for number in range(1000):
        uri = f"https://{number}.shop.internal/"
        prover.learn(answer(sent(prover, uri), 200, "x"))
    assert len(prover._nonces) <= 256


def test_the_key_is_not_shown(prover: Prover) -> None:
    """Neither the headers nor the extensions of a request hold its private half."""
    request = sent(prover)
    shown = f"{request.headers} {request.extensions} {prover._key!r}"
    assert '"d"' not in shown
    assert checked(request).thumbprint in shown
