"""Tests at the edge: whose token it must be, what it must be for, and until when."""

import json
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.proof.dpop_client import DpopKey
from tests.services.gateway.standing import AUDIENCE, Edge, standing
from tests.services.gateway.upstreams import mirror
from tests.services.guarding import bearer
from tests.services.mesh import Mesh, Serve

URI = f"{AUDIENCE}/orders"
TWO = [("Authorization", "Bearer a"), ("Authorization", "Bearer b")]
BOTH = [("Authorization", "Bearer a"), ("DPoP", "a")]


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and description of an answer."""
    said = answer.json()
    return answer.status_code, said["error"], said.get("error_description", "")


@pytest.mark.parametrize("client_id", ["storefront", "storefront-jwt"])
def test_the_upstream_sees_the_gateways_token_and_the_callers_name(
    edge: Edge, client_id: str
) -> None:
    """The token is the gateway's own, and the caller stands beside it."""
    token = edge.token(client_id)
    answer = edge.get(token)
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert seen["peer"] == "spiffe://shop.internal/service/gateway"
    assert seen["chain"] == ["gateway", client_id]
    assert seen["scopes"] == ["orders.read"]
    assert seen["original"] == str(edge.caller.spiffe_id)
    assert seen["thumbprint"] == edge.caller.generation.thumbprint
    assert token not in answer.text
    assert token not in "".join(each.authorization for each in edge.upstream.seen)


def test_the_upstream_checks_the_binding_itself(edge: Edge, mesh: Mesh) -> None:
    """The token that the gateway sends is worthless on anybody else's connection."""
    edge.get(edge.token()).raise_for_status()
    sent = edge.upstream.seen[-1].authorization.removeprefix("Bearer ")
    assert edge.upstream.get(edge.instance, sent).status_code != 401
    for thief in (mesh.instance("stock"), edge.caller):
        answer = edge.upstream.get(thief, sent)
        assert answer.status_code == 401
        assert "another certificate" in answer.text


def test_a_stolen_token_is_refused_at_the_edge(edge: Edge, mesh: Mesh) -> None:
    """Another service of the mesh cannot use it, known verdict or not."""
    token = edge.token()
    thief = mesh.instance("stock")
    for _ in range(2):
        status, code, description = refusal(edge.get(token, caller=thief))
        assert (status, code) == (401, "invalid_token")
        assert description == "the token is bound to another certificate"
        edge.get(token).raise_for_status()


def test_a_renewed_certificate_is_another(edge: Edge, mesh: Mesh) -> None:
    """The same service with a new certificate needs a new token."""
    again = mesh.instance("storefront")
    assert refusal(edge.get(edge.token(), caller=again))[0] == 401


def test_an_unbound_token_is_refused(edge: Edge) -> None:
    """The gateway is where a binding ends, so there must be one."""
    answer = refusal(edge.get(edge.token("storefront-bearer")))
    assert answer[2] == "the token is not bound to one certificate or key"


def test_a_token_for_another_audience_is_refused(edge: Edge) -> None:
    """A token for orders itself is none for the gateway before it."""
    token = edge.tokens.token(edge.caller, client_id="storefront-direct")
    assert refusal(edge.get(token)) == (401, "invalid_token", "the token is not active")


def test_who_floods_the_edge_with_inventions_is_alone_in_that(
    mesh: Mesh, serve: Serve, tmp_path: Path
) -> None:
    """429 and when to try again, while the token service answers for the others."""
    few = {"per_second": 0.01, "burst": 3}
    with standing(mesh, serve, tmp_path, app=mirror, inactive_tokens=few) as edge:
        thief = mesh.instance("stock")
        for number in range(3):
            answer = edge.get(f"cbo_{number}", caller=thief)
            assert refusal(answer)[:2] == (401, "invalid_token")
        asked = len(edge.tokens.seen)
        answer = edge.get("cbo_3", caller=thief)
        assert refusal(answer)[:2] == (429, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert edge.get("cbo_0", caller=thief).status_code == 401  # is known
        assert len(edge.tokens.seen) == asked
        assert edge.get(edge.token()).status_code == 200


@pytest.mark.parametrize(
    "token",
    ["cbo_AAAA", "AAAA", "a.b.c", "A" * 8193, "cbo_" + "A" * 40_000],
    ids=["reference", "word", "jws", "long", "longer-than-a-question"],
)
def test_a_token_that_nobody_issued_is_refused(edge: Edge, token: str) -> None:
    """Unknown, over and malformed have one answer."""
    assert refusal(edge.get(token))[:2] == (401, "invalid_token")


def test_a_route_needs_its_scopes(edge: Edge) -> None:
    """A good token that does not reach this far is told what it lacks."""
    answer = edge.get(edge.token(scope="orders.write"))
    assert refusal(answer)[:2] == (403, "insufficient_scope")
    assert 'scope="orders.read"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    ("headers", "path", "status", "code"),
    [
        ([], "/orders", 401, "unauthorized"),
        ([("Authorization", "Basic YTpi")], "/orders", 401, "unauthorized"),
        (TWO, "/orders", 400, "invalid_request"),
        ([], "/orders?access_token=a", 400, "invalid_request"),
        ([("Authorization", "Bearer a b")], "/orders", 400, "invalid_request"),
        ([("Authorization", "DPoP a")], "/orders", 401, "invalid_dpop_proof"),
        (BOTH, "/orders", 400, "invalid_request"),
    ],
)
def test_one_token_comes_in_one_way(
    edge: Edge, headers: Any, path: str, status: int, code: str
) -> None:
    """Whatever else a request brings is refused as a guard refuses it."""
    with edge.client() as client:
        answer = client.get(path, headers=headers)
    assert refusal(answer)[:2] == (status, code)
    assert answer.headers["www-authenticate"].startswith(("Bearer", "DPoP"))


def test_a_revoked_token_is_refused_within_five_seconds(edge: Edge) -> None:
    """A verdict may be kept that long and no longer; others go on."""
    token, other = edge.token(), edge.token()
    assert edge.get(token).status_code == 200
    edge.revoke(token)
    edge.tokens.clock.move(seconds=5)
    assert refusal(edge.get(token)) == (401, "invalid_token", "the token is not active")
    assert edge.get(other).status_code == 200


def test_a_revoked_token_that_was_not_seen_is_refused_at_once(edge: Edge) -> None:
    """There is no verdict yet that could be kept."""
    token = edge.token()
    edge.revoke(token)
    assert refusal(edge.get(token))[0] == 401


def test_a_token_ends_with_its_second(edge: Edge) -> None:
    """A verdict a second old does not keep a token alive."""
    token = edge.token("storefront-brief")
    assert edge.get(token).status_code == 200
    edge.tokens.clock.move(seconds=2)
    assert refusal(edge.get(token))[:2] == (401, "invalid_token")


def test_the_token_service_is_not_asked_at_every_request(edge: Edge) -> None:
    """One question and one exchange serve a bearer for the bound."""
    token = edge.token()
    edge.get(token).raise_for_status()
    asked = len(edge.tokens.seen)
    with edge.client() as client:
        for _ in range(5):
            client.get("/orders", headers=bearer(token)).raise_for_status()
    assert len(edge.tokens.seen) == asked


def test_each_bearer_has_an_exchange_of_its_own(edge: Edge) -> None:
    """Two tokens of one client never share what they are exchanged for."""
    sent = []
    for token in (edge.token(), edge.token()):
        edge.get(token).raise_for_status()
        sent.append(edge.upstream.seen[-1].authorization)
    assert sent[0] != sent[1]


class Proving:
    """A client of DPoP that stands at the edge."""

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.key = DpopKey()
        form = {
            "grant_type": "client_credentials",
            "client_id": "storefront-dpop",
            "resource": AUDIENCE,
            "scope": "orders.read",
        }
        with edge.tokens.client(edge.caller) as client:
            nonce = None
            for _ in range(2):
                proof = self.key.proof(
                    "POST",
                    "https://localhost:8440/token",
                    now=edge.tokens.clock(),
                    nonce=nonce,
                )
                answer = client.post("/token", data=form, headers={"DPoP": proof})
                nonce = answer.headers.get("dpop-nonce")
        self.token = str(answer.raise_for_status().json()["access_token"])
        self.nonce: str | None = None

    def proof(self, uri: str = URI, key: DpopKey | None = None) -> str:
        """Return a proof for the token."""
        return (key or self.key).proof(
            "GET",
            uri,
            now=self.edge.tokens.clock(),
            access_token=self.token,
            nonce=self.nonce,
        )

    def get(self, proof: str, scheme: str = "DPoP", path: str = "/orders") -> Any:
        """Ask with the token and a proof; remember the nonce of the answer."""
        headers = {"Authorization": f"{scheme} {self.token}", "DPoP": proof}
        with self.edge.client() as client:
            answer = client.get(path, headers=headers)
        self.nonce = answer.headers.get("dpop-nonce", self.nonce)
        return answer


def test_dpop_is_enforced_at_the_edge(edge: Edge) -> None:
    """Nonce, key, use only once; the upstream gets a token of the gateway's own."""
    proving = Proving(edge)
    first = proving.get(proving.proof())
    assert refusal(first)[:2] == (401, "use_dpop_nonce")
    proof = proving.proof()
    answer = proving.get(proof)
    assert answer.status_code == 200, answer.text
    assert answer.json()["chain"] == ["gateway", "storefront-dpop"]
    assert "dpop" not in dict(answer.json()["headers"])
    assert answer.headers["dpop-nonce"] == proving.nonce
    assert refusal(proving.get(proof))[2] == "the DPoP proof was used before"
    stranger = proving.get(proving.proof(key=DpopKey()))
    assert refusal(stranger)[2] == "the token is bound to another key"
    elsewhere = proving.get(proving.proof(f"{AUDIENCE}/other"))
    assert refusal(elsewhere)[1] == "invalid_dpop_proof"
    bare = edge.get(proving.token)
    assert "no DPoP proof" in refusal(bare)[2]


def test_a_proof_is_for_the_path_as_it_was_sent(edge: Edge) -> None:
    """An escaped slash is no slash, to the proof as to the upstream."""
    proving = Proving(edge)
    proving.get(proving.proof())
    other = proving.get(proving.proof(f"{AUDIENCE}/orders/a/b"), path="/orders/a%2Fb")
    assert refusal(other)[1] == "invalid_dpop_proof"
    same = proving.get(proving.proof(f"{AUDIENCE}/orders/a%2Fb"), path="/orders/a%2Fb")
    assert same.json()["target"] == "/orders/a%2Fb"


def test_without_a_certificate_nobody_comes_in(edge: Edge) -> None:
    """The handshake ends before there is a request."""
    context = ssl.create_default_context(
        cadata=edge.tokens.instance.mesh.bundle_pem.decode()
    )
    with (
        httpx.Client(verify=context, trust_env=False) as client,
        pytest.raises(httpx.HTTPError),
    ):
        client.get(f"{edge.url}/orders")


def test_no_line_of_the_log_holds_a_token(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the caller's nor the gateway's, taken or refused."""
    with caplog.at_level("INFO"):
        token = edge.token()
        edge.get(token)
        edge.get(f"{token}x")
    lines = [json.dumps(vars(record), default=str) for record in caplog.records]
    said = "\n".join(lines)
    assert "gateway.passed" in said
    assert "gateway.refused" in said
    assert token not in said
    assert edge.upstream.seen[-1].authorization.removeprefix("Bearer ") not in said
