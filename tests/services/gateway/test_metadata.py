"""Tests of what a gateway says about itself (RFC 9728), and of where it says that."""

import re
from typing import Any

import httpx
import pytest

from services.proof.embedded_key import PROOF_ALGORITHMS
from tests.services.documents import ISSUER
from tests.services.gateway.standing import AUDIENCE, Edge
from tests.services.guarding import bearer
from tests.services.mesh import Mesh

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def told(answer: httpx.Response) -> str:
    """Return where each challenge of an answer says that the metadata is."""
    challenges = answer.headers["www-authenticate"]
    urls = re.findall(r'resource_metadata="([^"]*)"', challenges)
    assert len(urls) == len(re.findall(r"realm=", challenges))
    (url,) = set(urls)
    return str(url)


def test_a_gateway_describes_itself(edge: Edge) -> None:
    """The document needs no token, and every member of it is true."""
    with edge.client() as client:
        answer = client.get(WELL_KNOWN)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "max-age=300"
    assert answer.json() == {
        "resource": AUDIENCE,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["orders.read"],
        "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": True,
        "dpop_bound_access_tokens_required": False,
        "dpop_signing_alg_values_supported": sorted(PROOF_ALGORITHMS),
    }


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_it_can_only_be_read(edge: Edge, method: str) -> None:
    """Another method is not allowed, and reaches no upstream."""
    with edge.client() as client:
        answer = client.request(method, WELL_KNOWN)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", [f"{WELL_KNOWN}/orders", f"{WELL_KNOWN}x"])
def test_what_is_beside_it_is_no_document(edge: Edge, path: str) -> None:
    """The gateway has one, for itself: not one for each of its routes."""
    with edge.client() as client:
        assert client.get(path).status_code == 404


def test_every_challenge_leads_to_it(edge: Edge, mesh: Mesh) -> None:
    """Whatever the refusal, the parameter is there (section 5.1)."""
    narrow, token = edge.token(scope="orders.write"), edge.token()
    requests: list[Any] = [{}, bearer("x"), bearer("a b"), bearer(narrow)]
    with edge.client() as client:
        answers = [client.get("/orders", headers=headers) for headers in requests]
    answers.append(edge.get(token, caller=mesh.instance("stock")))
    assert [answer.status_code for answer in answers] == [401, 401, 400, 403, 401]
    assert {told(answer) for answer in answers} == {f"{AUDIENCE}{WELL_KNOWN}"}


def test_a_host_that_is_not_ours_sends_nobody_anywhere(edge: Edge) -> None:
    """The Host header only chooses among the gateway's own roots."""
    with edge.client() as client:
        answer = client.get("/orders", headers={"Host": "evil.example"})
    assert told(answer) == f"{AUDIENCE}{WELL_KNOWN}"
