"""A token service that has clients of every method, and whoever may call it.

    with every_method(mesh, foreign_mesh, twin, serve, home) as tokens:
        with owned(tokens, PARTNER) as client:
            post(client, client_id="partner")

`PARTNER` and `OTHER` are self-signed, `AUTHORITY` is another PKI with certificates that
hold no SPIFFE ID, `SIGNER` signs assertions. `twin` is a CA of our own names with other
keys, which the service trusts for the partner's trust domain and no other.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from services.proof.jws import parse, unverified_claims
from tests.services.documents import ORDERS_AUDIENCE, client_document
from tests.services.logged import only_line
from tests.services.mesh import Mesh, Serve
from tests.services.profiles import key_usage
from tests.services.proofs import Prover
from tests.services.registered import (
    Owner,
    written,
)
from tests.services.running import (
    Tokens,
    registrations,
    request,
    token_service,
)

PARTNER, OTHER = Owner(), Owner("other")
SIGNER = Prover()
NAMED = x509.Name(
    [
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Partner"),
        x509.NameAttribute(NameOID.COMMON_NAME, "billing"),
    ]
)
ATTRIBUTES = {
    "subject_dn": "CN=billing,O=Partner",
    "san_dns": "billing.partner.example",
    "san_uri": "https://billing.partner.example",
    "san_ip": "192.0.2.7",
    "san_email": "billing@partner.example",
}
AUTHORITY = Owner("Partner CA", authority=True, signs=True)


def registered(**members: Any) -> dict[str, Any]:
    """Return a client that is not known by `tls_client_auth`."""
    document = client_document(**members)
    if "tls_client_auth" not in members:
        del document["tls_client_auth"]
    return document


def self_signed(owner: Owner) -> dict[str, Any]:
    """Return a client that is known by a whole certificate."""
    method = {"jwks": {"keys": [owner.jwk()]}}
    return registered(self_signed_tls_client_auth=method)


def signing(prover: Prover, **members: Any) -> dict[str, Any]:
    """Return a client that signs assertions."""
    method = {"jwks": {"keys": [{**prover.public(), "kid": "one"}]}}
    return registered(private_key_jwt=method, **members)


def clients(mesh: Mesh) -> dict[str, Any]:
    """Return clients of every method."""
    partners = {"trust_domain": "partner.internal"}
    return {
        **registrations(),
        "partner": self_signed(PARTNER),
        "other": self_signed(OTHER),
        "signing": signing(SIGNER),
        "signing-bearer": signing(SIGNER, binding="none"),
        "signing-service": signing(SIGNER, audience=ORDERS_AUDIENCE),
        str(mesh.spiffe_id("orders")): registered(spiffe_x509={}),
        "spiffe://other.internal/service/orders": registered(spiffe_x509={}),
        **{
            name: registered(tls_client_auth={name: value, **partners})
            for name, value in ATTRIBUTES.items()
        },
        "wrong-name": registered(tls_client_auth={"san_dns": "other.x", **partners}),
        "wrong-domain": registered(
            tls_client_auth={"san_dns": ATTRIBUTES["san_dns"]},
        ),
    }


@contextmanager
def every_method(
    mesh: Mesh, foreign_mesh: Mesh, twin: Mesh, serve: Serve, home: Path
) -> Iterator[Tokens]:
    """Run the token service, with its files in `home`."""
    foreign, partner = home / "foreign.pem", home / "partner.pem"
    foreign.write_bytes(foreign_mesh.bundle_pem)
    partner.write_bytes(
        AUTHORITY.certificate.public_bytes(Encoding.PEM) + twin.bundle_pem
    )
    bundles = {"other.internal": str(foreign), "partner.internal": str(partner)}
    with token_service(
        mesh, serve, home, clients=clients(mesh), trust_bundles=bundles
    ) as running:
        yield running


@contextmanager
def connected(
    tokens: Tokens, key: ec.EllipticCurvePrivateKey, *chain: x509.Certificate
) -> Iterator[httpx.Client]:
    """Return a client with any certificate."""
    roots = tokens.instance.mesh.bundle_pem.decode()
    context = ssl.create_default_context(cadata=roots)
    context.load_cert_chain(written(tokens.document.parent, key, *chain))
    with httpx.Client(
        base_url=tokens.url, verify=context, trust_env=False, timeout=10
    ) as client:
        yield client


@contextmanager
def owned(tokens: Tokens, owner: Owner) -> Iterator[httpx.Client]:
    """Return a client with a self-signed certificate."""
    with connected(tokens, owner.key, owner.certificate) as client:
        yield client


def issued(mesh: Mesh, tokens: Tokens, service: str) -> Any:
    """Return a client with a certificate of `mesh`."""
    leaf = mesh.issue(service)
    return connected(tokens, leaf.key, leaf.certificate, leaf.issuing)


def post(client: httpx.Client, path: str = "/token", **changes: Any) -> httpx.Response:
    """Send a good token request, but for the `changes`."""
    return client.post(path, data=request(**changes))


def cause(caplog: pytest.LogCaptureFixture) -> str:
    """Return which check has refused the one request there was."""
    return str(only_line(caplog)["cause"])


def confirmed(answer: httpx.Response) -> Any:
    """Return what the token in an answer is bound to."""
    token = parse(answer.raise_for_status().json()["access_token"])
    return unverified_claims(token).get("cnf")


def partner_leaf() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return a certificate of the partner's CA that has a name of every kind."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName(ATTRIBUTES["san_dns"]),
            x509.UniformResourceIdentifier(ATTRIBUTES["san_uri"]),
            x509.IPAddress(ip_address(ATTRIBUTES["san_ip"])),
            x509.RFC822Name(ATTRIBUTES["san_email"]),
        ]
    )
    usage = key_usage(digital_signature=True)
    leaf = AUTHORITY._signed(NAMED, key, [(names, False), (usage, True)], None)
    return key, leaf
