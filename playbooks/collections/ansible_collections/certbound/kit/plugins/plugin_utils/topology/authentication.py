"""How clients prove themselves: each by exactly one thing, and by nothing secret.

Called by `permissions`. The token service reads each registration again, more strictly
still (`services.registration`); what is found here is what a person is likely to write.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .document import Document, KeyPath
    from .model import Client, Topology

_ATTRIBUTES = ("subject_dn", "san_dns", "san_uri", "san_ip", "san_email")
_PRIVATE = {
    "d",
    "p",
    "q",
    "dp",
    "dq",
    "qi",
    "oth",
    "k",
}  # RFC 7518, section 6
_SPIFFE = "spiffe://"


def check_authentication(
    document: Document, topology: Topology, client: Client
) -> None:
    """Refuse a client that nobody, or more than one, could be.

    Raises:
        TopologyError: the sentence says what was expected.
    """
    key = ("clients", client.name)
    if (client.service is None) == (not client.authentication):
        raise document.refuse(key, "expected exactly one of service and authentication")
    if client.service is not None:
        known = topology.services
        document.check_declared(
            (*key, "service"), client.service, kind="service", known=known
        )
    if client.name.startswith(_SPIFFE) != ("spiffe_x509" in client.authentication):
        raise document.refuse(
            key, "a client has a SPIFFE ID for a name exactly if spiffe_x509 knows it"
        )
    for method, said in client.authentication.items():
        here = (*key, "authentication", method)
        if method == "tls_client_auth":
            _check_attribute(document, here, said)
        elif method != "spiffe_x509":
            _check_keys(document, here, said)
        _check_trust_domain(document, topology, here, _trust_domain(client, said))


def _check_attribute(document: Document, key: KeyPath, said: dict[str, Any]) -> None:
    given = [name for name in _ATTRIBUTES if name in said]
    if len(given) != 1:
        raise document.refuse(key, f"expected exactly one of {', '.join(_ATTRIBUTES)}")
    if "san_ip" in said:
        try:
            ip_address(said["san_ip"])
        except ValueError:
            raise document.refuse(
                (*key, "san_ip"), f"got {said['san_ip']!r}, expected an IP address"
            ) from None


def _check_keys(document: Document, key: KeyPath, said: dict[str, Any]) -> None:
    if ("jwks" in said) == ("jwks_uri" in said):
        raise document.refuse(key, "expected exactly one of jwks and jwks_uri")
    for name in ("trust_bundle", "networks"):
        if name in said and "jwks" in said:
            raise document.refuse((*key, name), "expected only beside a jwks_uri")
    for index, member in enumerate(said.get("jwks", {}).get("keys", ())):
        if _PRIVATE & set(member):
            raise document.refuse(
                (*key, "jwks", "keys", index),
                "is a private key, expected the public one; this one is spent",
            )


def _trust_domain(client: Client, said: dict[str, Any]) -> str | None:
    if client.name.startswith(_SPIFFE):
        return client.name.removeprefix(_SPIFFE).partition("/")[0]
    domain: str | None = said.get("trust_domain")
    return domain


def _check_trust_domain(
    document: Document, topology: Topology, key: KeyPath, domain: str | None
) -> None:
    if domain not in {None, topology.trust_domain, *topology.trust_bundles}:
        raise document.refuse(
            key,
            f"is of {domain}, expected its roots in token_service.trust_bundles",
        )
