"""Tests of `services.wire.original`: a caller at the edge, named by a gateway alone."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.config import ConfigError
from services.process import _hops
from services.wire.hops import Binding, Hop, NamelessHopError
from services.wire.original import ORIGINAL, original_of
from services.wire.peer import ExpiredCertificateError
from tests.services.documents import service_config, service_document, write
from tests.services.mesh import Leaf, Mesh, now
from tests.services.proxies.fields import client_cert
from tests.services.proxies.layer import Layer, Seen

_DER = Encoding.DER
GATEWAY = "spiffe://shop.internal/service/gateway"


def asked(
    mesh: Mesh,
    direct: x509.Certificate,
    *forwarded: Leaf,
    binding: Binding = "hop",
    name: bytes = b"Client-Cert",
) -> Seen:
    """Send a request to orders, which trusts the gateway."""
    hop = Hop("client-cert", mesh.spiffe_id("gateway"), None, binding=binding)
    layer = Layer(mesh.instance("orders").live(), [hop])
    fields = [(name, client_cert(leaf.certificate)) for leaf in forwarded]
    return layer.request(direct, fields)


def original(seen: Seen, **options: Any) -> str | None:
    """Return who stood at the edge, as the application would ask."""
    assert seen.scope
    at = {"trust_domain": "shop.internal", "now": now(), **options}
    found = original_of(seen.scope, **at)
    return str(found.spiffe_id) if found else None


def test_a_gateway_stays_the_peer(mesh: Mesh) -> None:
    """Its certificate is the connection's, and the caller's stands beside it."""
    gateway, caller = mesh.issue("gateway"), mesh.issue("storefront")
    seen = asked(mesh, gateway.certificate, caller)
    assert seen.caller == gateway.certificate.public_bytes(_DER)
    assert original(seen) == "spiffe://shop.internal/service/storefront"


def test_a_proxy_makes_way_for_the_caller(mesh: Mesh) -> None:
    """The other binding is as it was: there is no original beside the caller."""
    gateway, caller = mesh.issue("gateway"), mesh.issue("storefront")
    seen = asked(mesh, gateway.certificate, caller, binding="caller")
    assert seen.caller == caller.certificate.public_bytes(_DER)
    assert original(seen) is None


def test_nobody_else_names_an_original(mesh: Mesh) -> None:
    """What another service sends is removed, and it is who it is."""
    stock, caller = mesh.issue("stock"), mesh.issue("storefront")
    seen = asked(mesh, stock.certificate, caller)
    assert seen.caller == stock.certificate.public_bytes(_DER)
    assert original(seen) is None
    assert seen.scope
    assert not [name for name, _ in seen.scope["headers"] if b"client" in name.lower()]


def test_a_gateway_must_name_exactly_one(mesh: Mesh) -> None:
    """None, two, or one in another spelling is a mistake that is not passed over."""
    gateway, caller = mesh.issue("gateway").certificate, mesh.issue("storefront")
    assert asked(mesh, gateway).status == 400
    assert asked(mesh, gateway, caller, caller).status == 400
    assert asked(mesh, gateway, caller, name=b"Client_Cert").status == 400


def test_an_original_is_good_by_our_own_trust(mesh: Mesh, foreign_mesh: Mesh) -> None:
    """A gateway with a wider bundle or a slow clock widens nothing."""
    gateway = mesh.issue("gateway").certificate
    ended = mesh.issue("storefront", not_after=now() - timedelta(seconds=1))
    for caller in (foreign_mesh.issue("storefront"), ended):
        assert asked(mesh, gateway, caller).status == 403


def test_an_original_ends_with_its_certificate(mesh: Mesh) -> None:
    """Whoever asks later is told that it is over."""
    seen = asked(mesh, mesh.issue("gateway").certificate, mesh.issue("storefront"))
    with pytest.raises(ExpiredCertificateError):
        original(seen, now=now() + timedelta(days=1))


def test_a_request_cannot_bring_an_original_of_its_own(mesh: Mesh) -> None:
    """It is no field: only the layer puts it there."""
    stock = mesh.issue("stock").certificate
    seen = asked(mesh, stock, mesh.issue("storefront"), name=ORIGINAL.encode())
    assert original(seen) is None


def test_the_document_says_which_hop_is_a_gateway(tmp_path: Path) -> None:
    """Nobody is one unless it says so."""
    gateway = {"form": "client-cert", "spiffe_id": GATEWAY}
    for more, binding in (({}, "caller"), ({"binding": "hop"}, "hop")):
        document = service_document(trusted_hops=[{**gateway, **more}])
        (hop,) = _hops(write(tmp_path, document))
        assert hop.binding == binding


def test_a_gateway_has_a_certificate(tmp_path: Path) -> None:
    """Its token is bound to one, so a secret does not do."""
    hop = {"form": "client-cert", "secret": "/srv/secret", "binding": "hop"}
    with pytest.raises(ConfigError, match="can bind no token"):
        service_config(tmp_path, trusted_hops=[hop])
    with pytest.raises(NamelessHopError):
        Hop("client-cert", None, lambda: b"", binding="hop")
