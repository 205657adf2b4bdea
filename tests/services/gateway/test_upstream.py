"""Tests of `services.gateway.upstream`: what is stated of a caller's chain."""

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from services.gateway.upstream import issuers_of
from tests.services.mesh import Mesh


def scope(*chain: Any) -> dict[str, Any]:
    """Return what the wire puts into the scope for a verified chain."""
    pems = tuple(each.public_bytes(Encoding.PEM).decode() for each in chain)
    return {"extensions": {"tls": {"client_cert_chain": pems}}}


def test_the_issuing_ca_goes_along_if_tls_tells_it(mesh: Mesh) -> None:
    """Neither the certificate itself nor a root stands in the chain (9440, 2.3)."""
    leaf = mesh.issue("storefront").certificate
    assert issuers_of(scope(leaf, mesh.issuing, mesh.root)) == (mesh.issuing,)


def test_a_chain_that_is_not_known_is_left_out(mesh: Mesh) -> None:
    """Before Python 3.13, TLS tells the leaf alone; others tell nothing."""
    leaf = mesh.issue("storefront").certificate
    assert issuers_of(scope(leaf)) == issuers_of(scope()) == ()
    assert issuers_of({"extensions": {"tls": {}}}) == ()
