"""Tests of `trusted_hops`, from the document of a process to its door."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from starlette.types import Receive, Scope, Send

from services.config import ConfigError
from services.process import _hops
from services.wire.forwarded import ForwardedCertificate
from services.wire.hops import Hop, HopError
from tests.services.documents import service_config, service_document, write
from tests.services.mesh import Mesh, serve
from tests.services.proxies import raw
from tests.services.proxies.fields import client_cert
from tests.services.wire.apps import mirror

EDGE = "spiffe://shop.internal/service/edge"
SECRET = b"0123456789abcdef0123456789abcdef0123456789abcdef"


async def name_caller(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the caller's certificate, as Client-Cert would hold it."""
    der = scope["extensions"]["tls"]["client_cert"]
    body = client_cert(x509.load_der_x509_certificate(der))
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


def test_no_proxy_is_trusted_unless_one_is_named(tmp_path: Path) -> None:
    """A document that says nothing of hops has none."""
    assert service_config(tmp_path).trusted_hops == ()


@pytest.mark.parametrize("form", ["client-cert", "xfcc"])
def test_a_hop_has_a_form_and_a_name(tmp_path: Path, form: str) -> None:
    """What the document says is what the layer trusts."""
    document = service_document(trusted_hops=[{"form": form, "spiffe_id": EDGE}])
    (hop,) = _hops(write(tmp_path, document))
    assert (hop.form, str(hop.spiffe_id), hop.secret) == (form, EDGE, None)


def test_the_secret_of_a_hop_stands_in_a_file(tmp_path: Path) -> None:
    """The document names the file, and never holds the secret itself."""
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    hops = [{"form": "xfcc", "secret": str(secret)}]
    (hop,) = _hops(write(tmp_path, service_document(trusted_hops=hops)))
    assert hop.is_nameless
    assert hop.secret
    assert hop.secret() == SECRET
    secret.chmod(0o644)
    with pytest.raises(HopError):
        _hops(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("hops", "reason"),
    [
        ([{"form": "client-cert"}], "needs a spiffe_id, a secret or both"),
        ([{"spiffe_id": EDGE}], "form"),
        ([{"form": "nginx", "spiffe_id": EDGE}], "form"),
        ([{"form": "xfcc", "spiffe_id": "edge"}], "spiffe_id"),
        ([{"form": "xfcc", "spiffe_id": EDGE, "address": "127.0.0.1"}], "address"),
        ([{"form": "xfcc", "secret": "secret"}], "absolute path"),
        ([{"form": form, "spiffe_id": EDGE} for form in ("xfcc", "xfcc")], "twice"),
        ([{"form": "xfcc", "spiffe_id": "spiffe://other/a"}], "not of shop.internal"),
    ],
)
def test_a_wrong_hop_is_refused(
    tmp_path: Path, hops: list[dict[str, Any]], reason: str
) -> None:
    """A mistake in a hop stops the process, and says what was expected."""
    with pytest.raises(ConfigError, match=reason):
        service_config(tmp_path, trusted_hops=hops)


def test_a_proxy_without_a_certificate_is_let_in_by_its_secret(mesh: Mesh) -> None:
    """Where a hop is nameless, TLS asks for a certificate and the layer for either."""
    orders, storefront = mesh.instance("orders"), mesh.instance("storefront")
    leaf = storefront.generation.certificate
    hops = [Hop("client-cert", None, lambda: SECRET)]
    live = orders.live()
    app = ForwardedCertificate(name_caller, identity=live, hops=lambda: hops)
    forwarded = [(b"Client-Cert", client_cert(leaf))]
    secret = (b"Certbound-Hop-Secret", SECRET)
    with serve(app, live, demand_certificate=False) as running:
        nobody = raw.as_nobody(storefront)
        refused = raw.send(running.port, nobody, "/", fields=forwarded)
        assert refused.status == 403
        taken = raw.send(running.port, nobody, "/", fields=[secret, *forwarded])
        assert taken.body == client_cert(leaf)
        # Whoever shows a certificate is asked for a good one, and known by it.
        stock = mesh.instance("stock")
        thief = raw.as_instance(stock, orders.spiffe_id)
        itself = raw.send(running.port, thief, "/", fields=[secret, *forwarded])
        assert itself.status == 200
        assert itself.body == client_cert(stock.generation.certificate)


def test_a_bad_certificate_is_worse_than_none(mesh: Mesh, foreign_mesh: Mesh) -> None:
    """Where none is demanded, one of another CA still ends the handshake."""
    orders = mesh.instance("orders")
    context = raw.as_nobody(orders)
    stranger = foreign_mesh.instance("storefront").current
    context.load_cert_chain(stranger / "certificate.pem", stranger / "key.pem")
    with (
        serve(mirror, orders, demand_certificate=False) as running,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        raw.send(running.port, context, "/")
