"""Tests of `services.gateway.fields`: what passes, and what stays on its side."""

import pytest

from services.gateway.fields import inwards, outwards, stated
from services.wire.client_cert import unverified_chain
from tests.services.mesh import Mesh

PASSING = [(b"accept", b"*/*"), (b"x-request-id", b"7"), (b"cookie", b"a=b")]


@pytest.mark.parametrize(
    "name",
    [
        b"client-cert",
        b"Client-Cert",
        b"CLIENT_CERT",
        b"client_cert",
        b"client.cert",
        b"client-cert-chain",
        b"Client_Cert_Chain",
        b"x-forwarded-client-cert",
        b"X_Forwarded_Client_Cert",
        b"x-forwarded-for",
        b"x-forwarded-tls-client-cert",
        b"x-real-ip",
        b"x-original-url",
        b"x-rewrite-url",
        b"x-http-method-override",
        b"x-client-dn",
        b"x-ssl-client-s-dn",
        b"ssl-client-cert",
        b"x-amzn-mtls-clientcert",
        b"true-client-ip",
        b"remote-user",
        b"x-request_id",
    ],
)
@pytest.mark.parametrize("times", [1, 2])
def test_who_calls_is_not_for_the_caller_to_say(name: bytes, times: int) -> None:
    """Alone, doubled, in any spelling: it stays outside, and the log hears of it."""
    parted = inwards([PASSING[0], *[(name, b":forged:")] * times, *PASSING[1:]])
    assert parted.passing == PASSING
    assert parted.forged == [name.lower().decode()] * times


@pytest.mark.parametrize(
    "name",
    [
        b"connection",
        b"keep-alive",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"authorization",
        b"Authorization",
        b"dpop",
        b"host",
        b"expect",
        b"forwarded",
        b"via",
        b"certbound-hop-secret",
    ],
)
def test_what_is_between_caller_and_gateway_ends_here(name: bytes) -> None:
    """The connection's own fields and the caller's credentials do not go on."""
    assert inwards([*PASSING, (name, b"x")]).passing == PASSING


def test_what_connection_names_ends_here() -> None:
    """In one field or several, whatever the case."""
    hop = [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-c", b"3")]
    named = [(b"Connection", b"close, X-A"), (b"connection", b"x-b ,X-C")]
    assert inwards([*PASSING, *named, *hop]).passing == PASSING


def test_the_length_of_a_body_goes_on() -> None:
    """The upstream is to know as much of the body as the gateway does."""
    length = (b"content-length", b"7")
    assert inwards([length]).passing == [length]


@pytest.mark.parametrize(
    "name",
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"transfer-encoding",
        b"trailer",
        b"upgrade",
        b"www-authenticate",
        b"authentication-info",
        b"dpop-nonce",
        b"authorization",
        b"client-cert",
        b"Client-Cert-Chain",
        b"date",
        b"server",
    ],
)
def test_what_is_between_gateway_and_upstream_stays_there(name: bytes) -> None:
    """Its challenges and nonces are for the gateway, whose token it got."""
    assert outwards([*PASSING, (name, b"x")]) == PASSING


def test_what_an_upstreams_connection_names_stays_there() -> None:
    """The same rule holds outwards."""
    assert outwards([*PASSING, (b"Connection", b"x-a"), (b"x-a", b"1")]) == PASSING


def test_the_caller_is_stated_as_rfc_9440_writes_it(mesh: Mesh) -> None:
    """One certificate, and its issuers if they are known."""
    leaf = mesh.issue("storefront")
    alone = stated(leaf.certificate, ())
    assert unverified_chain(dict(alone)) == (leaf.certificate,)
    both = stated(leaf.certificate, (leaf.issuing,))
    assert unverified_chain(dict(both)) == (leaf.certificate, leaf.issuing)
