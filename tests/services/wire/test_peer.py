"""Tests of `services.wire.peer`: who is calling."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from services.wire.generation import thumbprint
from services.wire.peer import (
    OUTSIDE,
    AuthorityAsPeerError,
    ExpiredCertificateError,
    NoCertificateError,
    OutsidePeerError,
    PeerError,
    UnreadableNameError,
    WrongTrustDomainError,
    peer_of,
    presented_of,
)
from tests.services.mesh import TRUST_DOMAIN, Leaf, Mesh, now
from tests.services.registered import Owner

SECOND = timedelta(seconds=1)


def scope_of(leaf: Leaf) -> dict[str, Any]:
    """Return the part of a scope that a connection with `leaf` gives."""
    der = leaf.certificate.public_bytes(Encoding.DER)
    return {"type": "http", "extensions": {"tls": {"client_cert": der}}}


def test_a_peer_is_what_its_certificate_says(mesh: Mesh) -> None:
    """Name, serial, thumbprint and expiry are those of the connection's leaf."""
    leaf = mesh.issue("orders")
    peer = peer_of(scope_of(leaf), trust_domain=TRUST_DOMAIN, now=now())
    assert peer.spiffe_id == mesh.spiffe_id("orders")
    assert peer.certificate == leaf.certificate
    assert peer.serial == leaf.certificate.serial_number
    assert peer.thumbprint == thumbprint(leaf.certificate)
    assert peer.not_after == leaf.certificate.not_valid_after_utc


def test_the_certificate_of_a_connection_is_parsed_once(mesh: Mesh) -> None:
    """Further requests of a connection find the peer that the first one made."""
    scope = scope_of(mesh.issue("orders"))
    first = peer_of(scope, trust_domain=TRUST_DOMAIN, now=now())
    assert peer_of(scope, trust_domain=TRUST_DOMAIN, now=now()) is first


@pytest.mark.parametrize(
    "scope",
    [
        {"type": "http"},
        {"type": "http", "extensions": None},
        {"type": "http", "extensions": {}},
        {"type": "http", "extensions": {"tls": {}}},
        {"type": "http", "extensions": {"tls": {"client_cert": None}}},
        {"type": "http", "extensions": {"tls": {"client_cert": b""}}},
        {"type": "http", "extensions": {"tls": {"client_cert": "PEM"}}},
    ],
)
def test_no_certificate_is_no_peer(scope: dict[str, Any]) -> None:
    """A request without TLS, or without a certificate in DER form, has no peer."""
    with pytest.raises(NoCertificateError):
        peer_of(scope, trust_domain=TRUST_DOMAIN, now=now())


def test_a_certificate_is_good_in_its_last_second(mesh: Mesh) -> None:
    """The end of validity is part of it (RFC 5280, section 4.1.2.5)."""
    leaf = mesh.issue("orders")
    last = leaf.certificate.not_valid_after_utc
    peer_of(scope_of(leaf), trust_domain=TRUST_DOMAIN, now=last)


def test_an_expired_certificate_is_no_peer(mesh: Mesh) -> None:
    """A second later the connection has outlived its certificate."""
    leaf = mesh.issue("orders")
    late = leaf.certificate.not_valid_after_utc + SECOND
    with pytest.raises(ExpiredCertificateError, match="expired at"):
        peer_of(scope_of(leaf), trust_domain=TRUST_DOMAIN, now=late)


@pytest.mark.parametrize(
    "uris",
    [
        [],
        ["spiffe://shop.internal/a", "spiffe://shop.internal/b"],
        ["https://shop.internal/service/orders"],
        ["spiffe://shop.internal"],
    ],
)
def test_a_certificate_without_one_workload_is_no_peer(
    mesh: Mesh, uris: list[str]
) -> None:
    """There is exactly one SPIFFE ID, and it has a path (X509-SVID, section 2)."""
    with pytest.raises(UnreadableNameError):
        peer_of(
            scope_of(mesh.issue("orders", uris=uris)),
            trust_domain=TRUST_DOMAIN,
            now=now(),
        )


@pytest.mark.parametrize(
    "fault",
    [{"authority": True}, {"signs": True}],
)
def test_an_authority_is_no_peer(mesh: Mesh, fault: dict[str, Any]) -> None:
    """What may certify others may not be one of them (X509-SVID, sections 4.1, 4.3)."""
    leaf = mesh.issue("orders", **fault)
    with pytest.raises(AuthorityAsPeerError):
        peer_of(scope_of(leaf), trust_domain=TRUST_DOMAIN, now=now())


def test_bytes_that_are_no_certificate_are_no_peer() -> None:
    """What cannot be parsed cannot be named."""
    scope = {"type": "http", "extensions": {"tls": {"client_cert": b"\x30\x00"}}}
    with pytest.raises(UnreadableNameError):
        peer_of(scope, trust_domain=TRUST_DOMAIN, now=now())


def test_another_trust_domain_is_no_peer(mesh: Mesh) -> None:
    """A name of another domain is refused even if our CA has signed it."""
    leaf = mesh.issue("orders", uris=["spiffe://other.internal/service/orders"])
    with pytest.raises(WrongTrustDomainError):
        peer_of(scope_of(leaf), trust_domain=TRUST_DOMAIN, now=now())


def test_each_refusal_has_its_own_code() -> None:
    """The codes tell the refusals apart in a caller's answer or a log."""
    codes = {error.code for error in PeerError.__subclasses__()}
    assert len(codes) == len(PeerError.__subclasses__())


def test_whoever_came_by_another_anchor_is_no_peer(mesh: Mesh) -> None:
    """Our trust domain does not vouch for the name; the token service may look on."""
    scope = scope_of(mesh.issue("orders"))
    scope["extensions"]["tls"][OUTSIDE] = True
    with pytest.raises(OutsidePeerError):
        peer_of(scope, trust_domain=TRUST_DOMAIN, now=now())
    assert presented_of(scope, now=now()).spiffe_id == mesh.spiffe_id("orders")


def test_any_certificate_can_be_looked_at(mesh: Mesh) -> None:
    """The token service has clients that are no workloads."""
    owner = Owner()
    shown = presented_of(
        scope_of(Leaf(owner.key, owner.certificate, owner.certificate)), now=now()
    )
    assert shown.certificate == owner.certificate
    assert shown.spiffe_id is None
    workload = presented_of(scope_of(mesh.issue("orders")), now=now())
    assert workload.spiffe_id == mesh.spiffe_id("orders")


@pytest.mark.parametrize(
    "uris",
    [
        ["spiffe://shop.internal/a", "spiffe://shop.internal/b"],
        ["spiffe://shop.internal/a", "https://a.example"],
        ["SPIFFE://shop.internal/a"],
        ["spiffe:shop"],
    ],
    ids=repr,
)
def test_a_spiffe_id_is_read_rightly_or_not_at_all(uris: list[str]) -> None:
    """A second name must not turn a workload into somebody without one."""
    owner = Owner(uris=uris)
    leaf = Leaf(owner.key, owner.certificate, owner.certificate)
    with pytest.raises(UnreadableNameError):
        presented_of(scope_of(leaf), now=now())


def test_other_uris_are_no_workloads_name() -> None:
    """They are for whoever compares them."""
    owner = Owner(uris=["https://a.example", "urn:b"])
    leaf = Leaf(owner.key, owner.certificate, owner.certificate)
    assert presented_of(scope_of(leaf), now=now()).spiffe_id is None


@pytest.mark.parametrize("faults", [{"authority": True}, {"signs": True}], ids=repr)
def test_an_authority_presents_itself_as_nobody(faults: dict[str, bool]) -> None:
    """Who may sign others does not speak for one of them."""
    owner = Owner(**faults)  # type: ignore[arg-type]  # both are flags
    leaf = Leaf(owner.key, owner.certificate, owner.certificate)
    with pytest.raises(AuthorityAsPeerError):
        presented_of(scope_of(leaf), now=now())


def test_what_is_presented_ends_as_well(mesh: Mesh) -> None:
    """No certificate, none that can be read, and none whose time is over."""
    scope = scope_of(mesh.issue("orders"))
    with pytest.raises(ExpiredCertificateError):
        presented_of(scope, now=now() + timedelta(hours=2))
    with pytest.raises(NoCertificateError):
        presented_of({"type": "http"}, now=now())
    with pytest.raises(UnreadableNameError):
        presented_of({"extensions": {"tls": {"client_cert": b"0"}}}, now=now())
