"""Real nginx, HAProxy and Envoy in front of real services, by the role's templates.

The attacker of these tests is stock: admitted by the proxies with a certificate of its
own, with a token stolen from storefront, and free to write any byte into its request.
"""

import json
import ssl
from base64 import urlsafe_b64decode

import pytest

from services.wire.generation import thumbprint
from tests.services.mesh import Instance, Mesh
from tests.services.proxies import fields, raw
from tests.services.proxies.conftest import token
from tests.services.proxies.standing import IMPOSTOR, Origins, Standing

pytestmark = pytest.mark.rollout

# Every way of naming storefront that a proxy or an origin might mistake for its own
# (measured-facts F6); the words `certificate` and `xfcc` are filled in by `forged`.
FORGED: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "client-cert": [("Client-Cert", "certificate")],
    "lower case": [("client-cert", "certificate")],
    "upper case": [("CLIENT-CERT", "certificate")],
    "doubled": [("Client-Cert", "certificate"), ("Client-Cert", "certificate")],
    "list": [("Client-Cert", "certificate, certificate")],
    "underscore": [("client_cert", "certificate")],
    "dot": [("client.cert", "certificate")],
    "underscore and hyphen": [
        ("client_cert", "certificate"),
        ("Client-Cert", "certificate"),
    ],
    "hop by hop": [("Client-Cert", "certificate"), ("Connection", "Client-Cert")],
    "hop by hop alone": [("Connection", "Client-Cert, X-Forwarded-Client-Cert")],
    "blank before the colon": [("Client-Cert ", "certificate")],
    "folded": [("X-Any", "any\r\n Client-Cert: certificate")],
    "chain": [("Client-Cert-Chain", "certificate")],
    "xfcc": [("X-Forwarded-Client-Cert", "xfcc")],
    "xfcc twice": [("X-Forwarded-Client-Cert", "xfcc")] * 2,
    "xfcc list": [("x-forwarded-client-cert", "xfcc,xfcc")],
    "xfcc underscore": [("x_forwarded_client_cert", "xfcc")],
    "xfcc hop by hop": [
        ("X-Forwarded-Client-Cert", "xfcc"),
        ("Connection", "X-Forwarded-Client-Cert"),
    ],
    "secret": [("Certbound-Hop-Secret", "A" * 43), ("Client-Cert", "certificate")],
    "both forms": [
        ("Client-Cert", "certificate"),
        ("X-Forwarded-Client-Cert", "xfcc"),
    ],
}


def forged(name: str, victim: Instance) -> list[tuple[bytes, bytes]]:
    """Return the fields of `FORGED` that name `victim`."""
    certificate = victim.generation.certificate
    values = {
        b"certificate": fields.client_cert(certificate),
        b"xfcc": fields.xfcc(certificate),
    }
    made = []
    for field, template in FORGED[name]:
        value = template.encode()
        for word, text in values.items():
            value = value.replace(word, text)
        made.append((field.encode(), value))
    return made


def test_a_bound_token_works_through_a_proxy(
    proxy: Standing, storefront: Instance
) -> None:
    """A token got and used through a proxy is bound to the caller's own certificate."""
    text = token(proxy, storefront)
    context = raw.as_instance(storefront, proxy.instance.spiffe_id)
    answer = raw.send(proxy.ports["orders"], context, "/orders", token=text)
    assert answer.status == 200, answer.body
    assert json.loads(answer.body) == {"service": "orders", "caller": "storefront"}
    assert bound_to(text) == thumbprint(storefront.generation.certificate)


def test_a_token_serves_with_and_without_a_proxy(
    proxy: Standing, storefront: Instance, stolen: str
) -> None:
    """A token got at the token service itself is good through a proxy."""
    context = raw.as_instance(storefront, proxy.instance.spiffe_id)
    answer = raw.send(proxy.ports["orders"], context, "/orders", token=stolen)
    assert answer.status == 200, answer.body
    assert "Client-Cert" in answer.headers["Vary"]


@pytest.mark.parametrize("form", FORGED)
def test_no_forged_field_opens_with_a_stolen_token(
    proxy: Standing, storefront: Instance, stock: Instance, stolen: str, form: str
) -> None:
    """Whatever the thief says of himself, he is stock; the token is storefront's."""
    context = raw.as_instance(stock, proxy.instance.spiffe_id)
    answer = raw.send(
        proxy.ports["orders"],
        context,
        "/orders",
        token=stolen,
        fields=forged(form, storefront),
    )
    assert answer.status in {400, 401}, answer.body
    if form == "nothing":
        assert answer.status == 401
        assert "invalid_token" in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("form", FORGED)
def test_no_forged_field_makes_the_thief_another(
    proxy: Standing, storefront: Instance, stock: Instance, own: str, form: str
) -> None:
    """A token bound to the thief's certificate shows whose certificate arrived."""
    context = raw.as_instance(stock, proxy.instance.spiffe_id)
    answer = raw.send(
        proxy.ports["orders"],
        context,
        "/orders",
        token=own,
        fields=forged(form, storefront),
    )
    assert answer.status in {200, 400}, answer.body
    if form in {"nothing", "client-cert", "xfcc"}:
        assert json.loads(answer.body)["caller"] == "stock"


@pytest.mark.parametrize("form", FORGED)
def test_no_forged_field_gets_another_s_token(
    proxy: Standing, storefront: Instance, stock: Instance, form: str
) -> None:
    """The token service gives storefront's tokens to storefront's certificate only."""
    request = {
        "grant_type": "client_credentials",
        "client_id": "storefront",
        "resource": "https://orders.shop.internal",
        "scope": "orders.read",
    }
    answer = raw.send(
        proxy.ports["token-service"],
        raw.as_instance(stock, proxy.instance.spiffe_id),
        "/token",
        form=request,
        fields=forged(form, storefront),
    )
    assert answer.status in {400, 401}, answer.body
    assert b"access_token" not in answer.body


@pytest.mark.parametrize("form", FORGED)
def test_who_calls_directly_is_not_asked_who_he_is(
    origins: Origins, storefront: Instance, stock: Instance, stolen: str, form: str
) -> None:
    """A service that is no hop may write what it likes: its certificate counts."""
    orders = origins.services["orders"]
    answer = raw.send(
        orders.ports["orders"],
        raw.as_instance(stock, orders.instance.spiffe_id),
        "/orders",
        token=stolen,
        fields=forged(form, storefront),
    )
    assert answer.status in {400, 401}, answer.body


def test_forged_fields_of_a_service_are_told_of(
    origins: Origins, storefront: Instance, stock: Instance, stolen: str
) -> None:
    """What was removed from a direct request stands in the log, with its path."""
    orders = origins.services["orders"]
    before = orders.log.read_text().count("forwarded.stripped")
    raw.send(
        orders.ports["orders"],
        raw.as_instance(stock, orders.instance.spiffe_id),
        "/orders",
        token=stolen,
        fields=forged("client-cert", storefront),
    )
    assert orders.log.read_text().count("forwarded.stripped") == before + 1


def test_without_a_certificate_a_proxy_lets_nobody_in(
    proxy: Standing, storefront: Instance, stolen: str
) -> None:
    """No certificate, no answer: an alert of TLS, or nginx' own 400."""
    context = raw.as_nobody(storefront)
    refused = forged("client-cert", storefront)
    try:
        answer = raw.send(
            proxy.ports["orders"], context, "/orders", token=stolen, fields=refused
        )
    except (ssl.SSLError, ConnectionError):
        return
    assert answer.status == 400


def test_a_foreign_certificate_does_not_pass_a_proxy(
    proxy: Standing, foreign_mesh: Mesh, storefront: Instance, stolen: str
) -> None:
    """A certificate of another CA is refused, even with storefront's own name in it."""
    stranger = foreign_mesh.instance("storefront", uris=[str(storefront.spiffe_id)])
    context = raw.as_nobody(storefront)
    live = stranger.current
    context.load_cert_chain(live / "certificate.pem", live / "key.pem")
    try:
        answer = raw.send(proxy.ports["orders"], context, "/orders", token=stolen)
    except (ssl.SSLError, ConnectionError):
        return
    assert answer.status == 400


def test_a_proxy_resumes_no_session(proxy: Standing, storefront: Instance) -> None:
    """A second connection shows its certificate anew (RFC 9440, section 3.3)."""
    context = raw.as_nobody(storefront)
    live = storefront.current
    context.load_cert_chain(live / "certificate.pem", live / "key.pem")
    first = raw.session_of(proxy.ports["orders"], context, None)
    assert not raw.session_of(proxy.ports["orders"], context, first.session).reused


def test_a_certificate_too_large_to_forward_is_refused(
    proxy: Standing, origins: Origins, mesh: Mesh
) -> None:
    """One of 7 kB passes HAProxy; nginx' map ends before, and Envoy sends it twice."""
    names = [f"name-{number:04}.shop.internal" for number in range(260)]
    large = mesh.instance("storefront", dns_names=[*names, "localhost"])
    text = token(origins.services["token-service"], large)
    context = raw.as_instance(large, proxy.instance.spiffe_id)
    answer = raw.send(proxy.ports["orders"], context, "/orders", token=text)
    expected = {"nginx": 400, "haproxy": 200, "envoy": 431}
    assert answer.status == expected[proxy.instance.service], answer.body


def test_a_proxy_speaks_tls_1_3_alone(proxy: Standing, storefront: Instance) -> None:
    """An older version is refused by the proxy, as it is by the services."""
    context = raw.as_nobody(storefront)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        raw.send(proxy.ports["orders"], context, "/orders")


def test_a_proxy_asks_the_origin_who_it_is(
    proxy: Standing, origins: Origins, storefront: Instance
) -> None:
    """An origin that is another service than meant gets no request of a client."""
    context = raw.as_instance(storefront, proxy.instance.spiffe_id)
    answer = raw.send(proxy.ports[IMPOSTOR], context, "/impostor")
    assert answer.status in {502, 503}
    assert "/impostor" not in origins.services["orders"].log.read_text()


def bound_to(text: str) -> str:
    """Return the thumbprint in a token."""
    payload = text.split(".")[1]
    claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return str(claims["cnf"]["x5t#S256"])
