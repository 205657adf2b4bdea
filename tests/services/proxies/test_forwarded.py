"""Tests of `services.wire.forwarded` and `callers`: whom the application sees."""

import json
from copy import copy
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from services.wire.client_cert import written
from services.wire.hops import Hop
from services.wire.peer import peer_of
from tests.services.logged import lines, listen, only_line
from tests.services.mesh import Instance, Mesh, now
from tests.services.proxies.fields import client_cert, xfcc
from tests.services.proxies.layer import Layer

SECRET = b"0123456789abcdef0123456789abcdef0123456789abcdef"
FIELD, CHAIN, XFCC = b"client-cert", b"client-cert-chain", b"x-forwarded-client-cert"
HOP_SECRET = b"certbound-hop-secret"


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the service behind the proxy."""
    return mesh.instance("orders")


@pytest.fixture(scope="module")
def edge(mesh: Mesh) -> x509.Certificate:
    """Return the proxy's certificate."""
    return mesh.issue("edge", not_after=now() + timedelta(hours=2)).certificate


@pytest.fixture(scope="module")
def caller(mesh: Mesh) -> x509.Certificate:
    """Return the original caller's certificate."""
    return mesh.issue("storefront").certificate


@pytest.fixture
def layer(mesh: Mesh, orders: Instance) -> Layer:
    """Return a layer that trusts edge, in the form of RFC 9440."""
    return Layer(orders.live(), [Hop("client-cert", mesh.spiffe_id("edge"), None)])


@pytest.fixture
def envoy(mesh: Mesh, orders: Instance) -> Layer:
    """Return a layer that trusts edge, in Envoy's form."""
    return Layer(orders.live(), [Hop("xfcc", mesh.spiffe_id("edge"), None)])


@pytest.fixture
def nameless(orders: Instance) -> Layer:
    """Return a layer that trusts whoever has the secret and no certificate."""
    return Layer(orders.live(), [Hop("client-cert", None, lambda: SECRET)])


def der(certificate: x509.Certificate) -> bytes:
    """Return what the scope holds of a certificate."""
    return certificate.public_bytes(Encoding.DER)


def test_a_hop_names_the_caller(
    mesh: Mesh, layer: Layer, edge: x509.Certificate, caller: x509.Certificate
) -> None:
    """The application sees the forwarded certificate, its chain, and no field of it."""
    seen = layer.request(edge, [(FIELD, client_cert(caller)), (b"accept", b"*/*")])
    assert seen.status == 200
    assert seen.scope
    assert seen.scope["headers"] == [(b"host", b"localhost"), (b"accept", b"*/*")]
    tls = seen.scope["extensions"]["tls"]
    assert tls["client_cert"] == der(caller)
    assert tls["tls_version"] == 0x0304
    chain = [
        x509.load_pem_x509_certificate(pem.encode()) for pem in tls["client_cert_chain"]
    ]
    assert chain == [caller, mesh.issuing, mesh.root]
    peer = peer_of(seen.scope, trust_domain="shop.internal", now=now())
    assert peer.spiffe_id == mesh.spiffe_id("storefront")


def test_envoy_names_the_caller(
    envoy: Layer, edge: x509.Certificate, caller: x509.Certificate
) -> None:
    """A hop of the form xfcc is read as such."""
    assert envoy.request(edge, [(XFCC, xfcc(caller))]).caller == der(caller)


def test_without_hops_nobody_is_believed(
    orders: Instance, edge: x509.Certificate, caller: x509.Certificate
) -> None:
    """The default trusts no proxy: the connection says who calls."""
    seen = Layer(orders.live(), []).request(edge, [(FIELD, client_cert(caller))])
    assert seen.caller == der(edge)


STRANGERS_FIELDS = [
    b"client-cert",
    b"Client-Cert",
    b"client_cert",
    b"client.cert",
    b"client-cert-chain",
    b"x-forwarded-client-cert",
    b"X_Forwarded_Client_Cert",
    b"certbound-hop-secret",
]


@pytest.mark.parametrize("name", STRANGERS_FIELDS)
def test_a_stranger_s_field_is_removed(
    mesh: Mesh,
    layer: Layer,
    caller: x509.Certificate,
    name: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who is no hop stays who he is, and the application sees nothing of his tale."""
    listen(caplog)
    stranger = mesh.issue("stock").certificate
    seen = layer.request(stranger, [(name, client_cert(caller)), (b"accept", b"*/*")])
    assert seen.caller == der(stranger)
    assert seen.scope
    assert seen.scope["headers"] == [(b"host", b"localhost"), (b"accept", b"*/*")]
    assert b"vary" not in seen.answered
    assert only_line(caplog)["event"] == "forwarded.stripped"


def test_a_hop_whose_time_is_over_is_a_stranger(
    mesh: Mesh, layer: Layer, caller: x509.Certificate
) -> None:
    """A connection that has outlived the proxy's certificate names nobody."""
    late = mesh.issue("edge", not_after=now() - timedelta(seconds=1)).certificate
    assert layer.request(late, [(FIELD, client_cert(caller))]).caller == der(late)


# Each is what a trusted hop sends wrongly, the class that says so, and the answer.
# `good` and `other` are values of Client-Cert, `envoy` of Envoy's field.
WRONG = {
    "nothing": ("MissingFieldError", 400, []),
    "a chain alone": ("ChainAloneError", 400, [(CHAIN, "good")]),
    "two fields": ("DuplicateFieldError", 400, [(FIELD, "good"), (FIELD, "good")]),
    "a list": ("DuplicateFieldError", 400, [(FIELD, "good, good")]),
    "two chains": (
        "DuplicateFieldError",
        400,
        [(FIELD, "good"), (CHAIN, "other"), (CHAIN, "other")],
    ),
    "its own name twice": (
        "DuplicateFieldError",
        400,
        [(FIELD, "good"), (b"Client-Cert", "good")],
    ),
    "an underscore": (
        "VariantFieldError",
        400,
        [(FIELD, "good"), (b"client_cert", "good")],
    ),
    "a dot": ("VariantFieldError", 400, [(b"client.cert", "good")]),
    "not base64": ("MalformedFieldError", 400, [(FIELD, ":!:")]),
    "the leaf in the chain": (
        "LeafInChainError",
        400,
        [(FIELD, "good"), (CHAIN, "good")],
    ),
    "the other form": ("OtherFormError", 400, [(XFCC, "envoy")]),
    "both forms": ("OtherFormError", 400, [(FIELD, "good"), (XFCC, "envoy")]),
    "too large": ("OversizeFieldError", 431, [(FIELD, ":" + "A" * 16384 + ":")]),
    "a large chain": (
        "OversizeFieldError",
        431,
        [(FIELD, "good"), (CHAIN, "A" * 16385)],
    ),
}


@pytest.fixture(scope="module")
def values(mesh: Mesh, caller: x509.Certificate) -> dict[str, bytes]:
    """Return what the words in `WRONG` stand for."""
    return {
        "good": client_cert(caller),
        "other": client_cert(mesh.issuing),
        "envoy": xfcc(caller),
    }


@pytest.mark.parametrize("fault", WRONG)
def test_what_a_hop_does_wrong_refuses_the_request(
    layer: Layer,
    edge: x509.Certificate,
    values: dict[str, bytes],
    fault: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The application is not asked; the log says which rule was broken."""
    cause, status, template = WRONG[fault]
    headers = [(name, replaced(value.encode(), values)) for name, value in template]
    listen(caplog)
    seen = layer.request(edge, headers)
    assert (seen.scope, seen.status) == (None, status)
    assert json.loads(seen.body)["error"] == "invalid_request"
    assert seen.answered[b"cache-control"] == b"no-store"
    line = only_line(caplog)
    assert line["event"] == "forwarded.refused"
    assert (line["outcome"], line["cause"]) == ("refused", cause)
    assert line["peer"] == "spiffe://shop.internal/service/edge"
    assert line["certificate"] == format(edge.serial_number, "x")


def replaced(value: bytes, values: dict[str, bytes]) -> bytes:
    """Return `value` with its words replaced by certificates."""
    for word, text in values.items():
        value = value.replace(word.encode(), text)
    return value


def test_a_foreign_caller_is_refused(
    layer: Layer,
    edge: x509.Certificate,
    foreign_mesh: Mesh,
    mesh: Mesh,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A proxy that trusts more than we do widens nothing, even under a name of ours."""
    name = str(mesh.spiffe_id("storefront"))
    foreign = foreign_mesh.issue("storefront", uris=[name]).certificate
    fields = [(FIELD, client_cert(foreign)), (CHAIN, written(foreign_mesh.issuing))]
    listen(caplog)
    seen = layer.request(edge, fields)
    assert (seen.scope, seen.status) == (None, 403)
    line = only_line(caplog)
    assert line["cause"] == "UntrustedCallerError"
    assert line["peer"] == str(mesh.spiffe_id("edge"))


@pytest.mark.parametrize(
    "fault",
    [
        # Moments are spans from when the test runs, not from when it was collected.
        {"not_after": timedelta(seconds=-1)},
        {"not_before": timedelta(minutes=5)},
        {"authority": True},
        {"signs": True},
        {"uris": []},
        {"uris": ["spiffe://other.internal/service/storefront"]},
    ],
    ids=["expired", "not yet", "authority", "signs", "nameless", "foreign name"],
)
def test_a_caller_that_tls_would_refuse_is_refused(
    mesh: Mesh, layer: Layer, edge: x509.Certificate, fault: dict[str, Any]
) -> None:
    """A proxy says what it saw; whether that is good is decided here."""
    made: dict[str, Any] = {
        name: now() + value if isinstance(value, timedelta) else value
        for name, value in fault.items()
    }
    caller = mesh.issue("storefront", **made).certificate
    seen = layer.request(edge, [(FIELD, client_cert(caller))])
    assert (seen.scope, seen.status) == (None, 403)


def test_a_caller_is_compared_with_the_clock_each_time(
    layer: Layer, edge: x509.Certificate, caller: x509.Certificate
) -> None:
    """A certificate that was good a moment ago is refused when its time is over."""
    fields = [(FIELD, client_cert(caller))]
    layer.now = caller.not_valid_after_utc
    assert layer.request(edge, fields).status == 200
    layer.now += timedelta(seconds=1)
    assert layer.request(edge, fields).status == 403


def test_another_bundle_distrusts_at_once(
    mesh: Mesh, foreign_mesh: Mesh, edge: x509.Certificate, caller: x509.Certificate
) -> None:
    """What one generation found good, the next one's roots must find good again."""
    orders = mesh.instance("orders")
    seconds = iter(range(1000))
    live = orders.live(lambda: float(next(seconds) * 2))
    layer = Layer(live, [Hop("client-cert", mesh.spiffe_id("edge"), None)])
    fields = [(FIELD, client_cert(caller))]
    assert layer.request(edge, fields).status == 200
    foreign = foreign_mesh.issue("orders", uris=[str(orders.spiffe_id)])
    orders.turn(orders.write(foreign, bundle_pem=foreign_mesh.bundle_pem))
    assert layer.request(edge, fields).status == 403


def test_a_caller_s_own_chain_is_used(
    mesh: Mesh, layer: Layer, edge: x509.Certificate
) -> None:
    """Another issuing CA than our own is known only if the hop sends its chain."""
    second = copy(mesh)
    second._issuing_key = ec.generate_private_key(ec.SECP256R1())
    second.issuing = second._authority(
        "second issuing CA", second._issuing_key, mesh.root
    )
    caller = second.issue("storefront").certificate
    alone = [(FIELD, client_cert(caller))]
    assert layer.request(edge, alone).status == 403
    whole = [*alone, (CHAIN, written(second.issuing))]
    assert layer.request(edge, whole).caller == der(caller)


def test_a_nameless_hop_names_the_caller(
    nameless: Layer, caller: x509.Certificate
) -> None:
    """The secret of a hop stands for the certificate it cannot show."""
    fields = [(HOP_SECRET, SECRET), (FIELD, client_cert(caller))]
    seen = nameless.request(None, fields)
    assert seen.caller == der(caller)
    assert seen.scope
    assert seen.scope["headers"] == [(b"host", b"localhost")]


@pytest.mark.parametrize(
    "shown", [[], [SECRET[::-1]], [b""]], ids=["none", "another", "empty"]
)
def test_without_certificate_and_secret_nobody_gets_in(
    nameless: Layer,
    caller: x509.Certificate,
    shown: list[bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A connection without a certificate is nobody's until it shows the secret."""
    listen(caplog)
    fields = [(HOP_SECRET, secret) for secret in shown]
    seen = nameless.request(None, [*fields, (FIELD, client_cert(caller))])
    assert (seen.scope, seen.status) == (None, 403)
    line = only_line(caplog)
    assert line["cause"] == "NoHopError"
    assert SECRET.decode() not in json.dumps(lines(caplog))


def test_a_stolen_secret_is_no_certificate(
    mesh: Mesh, nameless: Layer, caller: x509.Certificate
) -> None:
    """A service with a certificate is itself, whatever secret it has got hold of."""
    thief = mesh.issue("stock").certificate
    fields = [(HOP_SECRET, SECRET), (FIELD, client_cert(caller))]
    assert nameless.request(thief, fields).caller == der(thief)


def test_answers_to_forwarded_requests_vary(
    layer: Layer, edge: x509.Certificate, caller: x509.Certificate
) -> None:
    """No cache in between may give one caller's answer to another (section 2.4)."""
    seen = layer.request(edge, [(FIELD, client_cert(caller))])
    assert b"Client-Cert" in seen.answered[b"vary"]
    assert b"Client-Cert" in layer.request(edge, []).answered[b"vary"]


def test_a_certificate_never_goes_back(
    layer: Layer, edge: x509.Certificate, caller: x509.Certificate
) -> None:
    """The fields are of requests, and stand in no answer (section 2.4)."""
    layer.answer = [(b"Client-Cert", client_cert(caller)), (b"etag", b"1")]
    seen = layer.request(edge, [(FIELD, client_cert(caller))])
    assert seen.answered.keys() == {b"etag", b"vary"}
