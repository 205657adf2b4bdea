"""Whatever a caller sends to a gateway, it is the caller's fault: never a 5xx.

The token service is asked in earnest: what it would not read must not look like an
outage, for one caller could then cause it for all.
"""

import json
from base64 import urlsafe_b64encode
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.gateway.standing import Edge, standing
from tests.services.gateway.upstreams import mirror
from tests.services.guarding import bearer
from tests.services.mesh import Mesh, Serve

NESTED = b'{"a":' + b"[" * 3000 + b"]" * 3000 + b"}"
HEADER = {"alg": "ES256", "kid": "x", "typ": "at+jwt"}


def part(content: object) -> str:
    """Return one part of a JWS."""
    octets = content if isinstance(content, bytes) else json.dumps(content).encode()
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


TOKENS = {
    "longer than a form": "cbo_" + "a" * 20_000,
    "nested payload": f"{part(HEADER)}.{part(NESTED)}.AA",
    "nested header": f"{part(NESTED)}.AA.AA",
    "key id is a list": f"{part(HEADER | {'kid': ['x']})}.e30.AA",
    "a member twice": part(b'{"alg":"ES256","kid":"x","kid":"y"}') + ".e30.AA",
    "unsigned": f"{part({'alg': 'none'})}.e30.",
    "a number without end": part(b'{"kid":"x","n":' + b"9" * 5000 + b"}") + ".e30.AA",
    "half a character": f"{part(HEADER | {'kid': chr(0xD800)})}.e30.AA",
    "encrypted": f"{part({'alg': 'dir', 'enc': 'A128GCM', 'zip': 'DEF'})}.....",
    "five parts": "a.b.c.d.e",
    "dots": "..",
}


@pytest.fixture(scope="module")
def edge(mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a gateway that does not mind how many tokens are none."""
    many = {"per_second": 1e6, "burst": 1_000_000}
    origins = ["https://gateway.shop.internal"]
    home = tmp_path_factory.mktemp("edge")
    with standing(
        mesh, serve, home, app=mirror, origins=origins, inactive_tokens=many
    ) as running:
        yield running


@pytest.fixture(scope="module")
def caller(edge: Edge) -> Any:
    """Return a kept connection of the caller's."""
    with edge.client() as client:
        yield client


@pytest.mark.parametrize("scheme", ["Bearer", "DPoP"])
@pytest.mark.parametrize("token", TOKENS.values(), ids=TOKENS)
def test_a_strange_token_is_refused(
    caller: httpx.Client, token: str, scheme: str
) -> None:
    """As a token, and as the proof beside it."""
    headers = {"Authorization": f"{scheme} {token}"}
    for extra in ({}, {"DPoP": token}):
        answer = caller.get("/orders", headers=headers | extra)
        assert answer.status_code in {400, 401}, answer.text


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=50,
)
@given(
    text=st.text(alphabet='abcXYZ019-._~+/=, \t"', max_size=60),
    path=st.binary(max_size=20),
)
def test_any_credentials_and_path_are_the_callers_fault(
    caller: httpx.Client, text: str, path: bytes
) -> None:
    """Read or refused, in our words."""
    target = b"/orders/" + path.hex().encode() + b"%" + path.hex()[:2].encode()
    request = caller.build_request(
        "GET",
        "/orders",
        headers={"Authorization": text.strip()},
        extensions={"target": target},
    )
    assert caller.send(request).status_code in {400, 401, 404}


FIELDS = {
    "latin": (b"Accept", b"\xff"),
    "long": (b"Cookie", b"a" * 30_000),
    "named": (b"Connection", b"client-cert, authorization, host"),
    "upgrade": (b"HTTP2-Settings", b"AA"),
    "expect": (b"Expect", b"100-continue"),
    "range": (b"Range", b"bytes=0-,1-,2-"),
    "host": (b"Host", b"\xff"),
}


@pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)
def test_a_strange_field_harms_nobody(
    edge: Edge, caller: httpx.Client, field: tuple[bytes, bytes]
) -> None:
    """Passed on, stripped or refused."""
    good = bearer(edge.token())["Authorization"].encode()
    headers = [(b"Authorization", good), field]
    assert caller.get("/orders", headers=headers).status_code in {200, 400}
