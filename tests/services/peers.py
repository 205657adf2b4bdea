"""Peers as `peer_of` names them: from the certificate of an ASGI scope."""

from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from services.wire.peer import Peer, peer_of
from tests.services.mesh import Leaf, Mesh, now


def scope_of(leaf: Leaf) -> dict[str, Any]:
    """Return what the wire puts into the scope for a connection of `leaf`."""
    der = leaf.certificate.public_bytes(Encoding.DER)
    return {"extensions": {"tls": {"client_cert": der}}}


def peer(mesh: Mesh, service: str, **faults: Any) -> Peer:
    """Return a service at the other end of a connection, but for the `faults`."""
    scope = scope_of(mesh.issue(service, **faults))
    return peer_of(scope, trust_domain=mesh.trust_domain, now=now())
