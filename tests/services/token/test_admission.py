"""Tests of `services.token.admission`: DPoP at the token endpoint (RFC 9449, 5, 8)."""

from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from services.proof.dpop import MAX_AGE
from services.proof.jws import parse, verify
from services.proof.nonce import STEP
from tests.services.fleet import TokenService, replicas
from tests.services.holding import Holder, ask, endpoint
from tests.services.logged import lines, only_line
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.tokens import ABSENT


@pytest.fixture(scope="module")
def both(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[TokenService]]:
    """Return two replicas that share a store."""
    with replicas(mesh, serve, tmp_path_factory.mktemp("replicas"), 2) as running:
        yield running


@pytest.fixture
def tokens(both: Sequence[TokenService]) -> TokenService:
    """Return the first of them."""
    return both[0]


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the instance that is registered as a client of DPoP."""
    return mesh.instance("storefront")


@pytest.fixture
def holder(tokens: TokenService, storefront: Instance) -> Holder:
    """Return a key that has a nonce of the token endpoint."""
    holder = Holder(tokens.clock)
    holder.learn(ask(tokens, storefront, holder.proof("POST", endpoint(tokens))))
    return holder


def refused(answer: httpx.Response, code: str, status: int = 400) -> None:
    """Check that an answer is this refusal, which nobody may store."""
    assert (answer.status_code, answer.json()["error"]) == (status, code)
    assert answer.headers["cache-control"] == "no-store"
    assert "access_token" not in answer.json()


def test_a_proof_binds_the_token_to_its_key(
    tokens: TokenService, storefront: Instance, holder: Holder
) -> None:
    """The type is DPoP, and `cnf` names the key and nothing else (5, 6.1)."""
    answer = ask(tokens, storefront, holder.proof("POST", endpoint(tokens)))
    assert answer.json()["token_type"] == "DPoP"
    token = parse(answer.json()["access_token"])
    key = tokens.keys(storefront)[token.key_id]
    claims = verify(token, key, types=frozenset({"at+jwt"}))
    assert claims["cnf"] == {"jkt": holder.prover.thumbprint}
    assert answer.headers["dpop-nonce"]  # the next one (8.2)
    assert answer.headers["cache-control"] == "no-store"


def test_a_nonce_is_demanded(
    tokens: TokenService, storefront: Instance, holder: Holder
) -> None:
    """A proof without one is answered with one (section 8)."""
    proof = holder.proof("POST", endpoint(tokens), nonce=ABSENT)
    answer = ask(tokens, storefront, proof)
    refused(answer, "use_dpop_nonce")
    assert len(answer.headers.get_list("dpop-nonce")) == 1


def test_a_nonce_is_good_at_the_other_replica(
    both: Sequence[TokenService], storefront: Instance, holder: Holder
) -> None:
    """What one replica gave, the one that shares its store takes."""
    first, second = both
    answer = ask(second, storefront, holder.proof("POST", endpoint(first)))
    assert answer.status_code == 200


def test_an_old_nonce_is_answered_with_a_new_one(
    tokens: TokenService, storefront: Instance, holder: Holder
) -> None:
    """After two steps the client has to take the next one, and may."""
    tokens.clock.move(seconds=2 * STEP.total_seconds())
    answer = ask(tokens, storefront, holder.proof("POST", endpoint(tokens)))
    refused(answer, "use_dpop_nonce")
    holder.learn(answer)
    again = ask(tokens, storefront, holder.proof("POST", endpoint(tokens)))
    assert again.status_code == 200


@pytest.mark.parametrize("replica", [0, 1], ids=["same", "other"])
def test_a_replayed_proof_is_refused(
    both: Sequence[TokenService],
    storefront: Instance,
    holder: Holder,
    replica: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A proof opens once, at whichever replica it is shown again (11.1)."""
    proof = holder.proof("POST", endpoint(both[0]))
    assert ask(both[0], storefront, proof).status_code == 200
    refused(ask(both[replica], storefront, proof), "invalid_dpop_proof")
    assert "used before" in lines(caplog)[-1]["reason"]


def test_a_nonce_does_not_excuse_an_old_proof(
    tokens: TokenService, storefront: Instance, holder: Holder
) -> None:
    """A proof that is too old to be remembered is refused for that (section 8)."""
    late = int(tokens.clock().timestamp() - MAX_AGE.total_seconds())
    old = holder.proof("POST", endpoint(tokens), iat=late)
    refused(ask(tokens, storefront, old), "invalid_dpop_proof")


@pytest.mark.parametrize(
    "fault",
    [
        {"htm": "GET"},
        {"htu": "https://localhost:1/token"},
        {"htu": "/token"},
        {"jti": ABSENT},
        {"iat": ABSENT},
        {"iat": 0},
        {"htm": ABSENT},
        {"htu": ABSENT},
    ],
    ids=str,
)
def test_a_bad_proof_is_a_bad_request(
    tokens: TokenService, storefront: Instance, holder: Holder, fault: dict[str, Any]
) -> None:
    """One fault in it is enough, and the code is the RFC's (section 5)."""
    proof = holder.proof("POST", endpoint(tokens), **fault)
    refused(ask(tokens, storefront, proof), "invalid_dpop_proof")


@pytest.mark.parametrize("text", ["", "x", "a.b.c", "a,b"], ids=repr)
def test_what_is_no_proof_is_a_bad_request(
    tokens: TokenService, storefront: Instance, text: str
) -> None:
    """A header that holds no JWT is no absent header."""
    refused(ask(tokens, storefront, text), "invalid_dpop_proof")


def test_two_proofs_are_a_bad_request(
    tokens: TokenService, storefront: Instance, holder: Holder
) -> None:
    """Both are good, and which counts nobody can say (section 4.3, 1)."""
    twice = [("DPoP", holder.proof("POST", endpoint(tokens))) for _ in range(2)]
    with tokens.client(storefront) as client:
        form = {"grant_type": "client_credentials", "client_id": "dpop"}
        answer = client.post("/token", data=form, headers=twice)
    refused(answer, "invalid_dpop_proof")


def test_a_proof_for_the_name_in_the_host_header_is_refused(
    tokens: TokenService, storefront: Instance, holder: Holder
) -> None:
    """The URI is the configured one: Host is the caller's word."""
    form = {"grant_type": "client_credentials", "client_id": "dpop"}
    proof = holder.proof("POST", "https://evil.example/token")
    headers = {"Host": "evil.example", "DPoP": proof}
    with tokens.client(storefront) as client:
        refused(client.post("/token", data=form, headers=headers), "invalid_dpop_proof")


def test_a_proof_of_another_endpoint_is_refused(
    tokens: TokenService, storefront: Instance, holder: Holder
) -> None:
    """A proof that was caught at one endpoint asks for no token at another."""
    proof = holder.proof("POST", f"{tokens.issuer}/introspect")
    refused(ask(tokens, storefront, proof), "invalid_dpop_proof")


def test_a_client_of_dpop_without_a_proof_gets_nothing(
    tokens: TokenService, storefront: Instance
) -> None:
    """Its registration demands one; a bearer token would be a downgrade (5.2)."""
    refused(ask(tokens, storefront, None), "invalid_dpop_proof")


@pytest.mark.parametrize("client_id", ["storefront", "bearer"])
def test_a_stray_proof_is_refused(
    tokens: TokenService, storefront: Instance, holder: Holder, client_id: str
) -> None:
    """Its sender counts on a token bound to the key, and this client has none."""
    proof = holder.proof("POST", endpoint(tokens))
    answer = ask(tokens, storefront, proof, client_id=client_id)
    refused(answer, "invalid_request")


def test_a_bad_proof_says_nothing_of_the_client(
    tokens: TokenService, storefront: Instance, holder: Holder
) -> None:
    """Who is not authenticated gets no nonce and no word about the proof."""
    answer = ask(tokens, storefront, "x", client_id="nobody")
    refused(answer, "invalid_client", 401)
    assert "dpop-nonce" not in answer.headers


def test_a_proof_is_not_logged(
    tokens: TokenService,
    storefront: Instance,
    holder: Holder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The line of a refusal holds the reason and never the proof."""
    proof = holder.proof("POST", endpoint(tokens), htm="GET")
    ask(tokens, storefront, proof)
    assert only_line(caplog)["cause"] == "ProofRefusedError"
    assert proof.split(".")[1] not in str(only_line(caplog))
