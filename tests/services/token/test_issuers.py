"""Tests of `services.token.issuers`: a name counts under the keys of its own domain."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from services.token.errors import (
    OtherTrustDomainError,
    UnnamedWorkloadError,
    UntrustedIssuerError,
)
from services.token.issuers import Issuers
from services.wire.bundles import ForeignBundle
from services.wire.peer import Presented, presented_of
from tests.services.logged import lines
from tests.services.mesh import Leaf, Mesh, now
from tests.services.registered import Owner

OTHER = "other.internal"


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Return a CA whose certificates have the names of ours, and other keys."""
    return Mesh(tmp_path_factory.mktemp("twin"))


@pytest.fixture
def issuers(mesh: Mesh, foreign_mesh: Mesh, twin: Mesh, tmp_path: Path) -> Issuers:
    """Return the trust of ours and of another trust domain, which our twin is in."""
    path = tmp_path / "other.pem"
    path.write_bytes(foreign_mesh.bundle_pem + twin.bundle_pem)
    return Issuers(
        mesh.instance("token-service").live(), {OTHER: ForeignBundle(OTHER, path)}
    )


def presented(leaf: Leaf, *, chain: bool = True) -> Presented:
    """Return a certificate as TLS shows it: with its issuers, or by itself."""
    pems = [leaf.certificate, *([leaf.issuing] if chain else [])]
    tls = {
        "client_cert": leaf.certificate.public_bytes(Encoding.DER),
        "client_cert_chain": tuple(
            each.public_bytes(Encoding.PEM).decode() for each in pems
        ),
    }
    return presented_of({"extensions": {"tls": tls}}, now=now())


def owned(owner: Owner) -> Presented:
    """Return a self-signed certificate as TLS shows it."""
    return presented(Leaf(owner.key, owner.certificate, owner.certificate))


@pytest.mark.parametrize("chain", [True, False], ids=["chain", "leaf"])
def test_our_own_certificates_are_trusted(
    issuers: Issuers, mesh: Mesh, *, chain: bool
) -> None:
    """Our own issuing CA is known, where TLS cannot tell which it was."""
    shown = presented(mesh.issue("orders"), chain=chain)
    for _ in range(2):
        issuers.check(shown, trust_domain=None, now=now())
        issuers.check(shown, trust_domain=mesh.trust_domain, now=now())


def test_those_of_another_domain_are_trusted_there(
    issuers: Issuers, foreign_mesh: Mesh
) -> None:
    """A registration that names the domain gets its roots."""
    shown = presented(foreign_mesh.issue("orders"))
    issuers.check(shown, trust_domain=OTHER, now=now())


def test_a_second_ca_of_the_same_name_mints_no_client(
    issuers: Issuers, mesh: Mesh, twin: Mesh
) -> None:
    """Trusted for something else, it says the same names: the key decides (7.4)."""
    assert mesh.issuing.subject == twin.issuing.subject
    assert mesh.root.subject == twin.root.subject
    shown = presented(twin.issue("storefront"))
    assert shown.spiffe_id == mesh.spiffe_id("storefront")
    with pytest.raises(UntrustedIssuerError):
        issuers.check(shown, trust_domain=None, now=now())


def test_an_earlier_good_certificate_vouches_for_no_other(
    issuers: Issuers, mesh: Mesh, twin: Mesh
) -> None:
    """What is remembered is one certificate, and not its name."""
    issuers.check(presented(mesh.issue("storefront")), trust_domain=None, now=now())
    shown = presented(twin.issue("storefront"))
    with pytest.raises(UntrustedIssuerError):
        issuers.check(shown, trust_domain=None, now=now())


def test_another_domains_name_is_refused_here(
    issuers: Issuers, foreign_mesh: Mesh
) -> None:
    """A bundle speaks for its own trust domain (SPIFFE)."""
    shown = presented(foreign_mesh.issue("orders"))
    with pytest.raises(OtherTrustDomainError):
        issuers.check(shown, trust_domain=None, now=now())


def test_our_name_is_refused_there(issuers: Issuers, mesh: Mesh) -> None:
    """The client is of the other domain, and this certificate is not."""
    with pytest.raises(OtherTrustDomainError):
        issuers.check(presented(mesh.issue("orders")), trust_domain=OTHER, now=now())


def test_a_self_signed_certificate_is_nobodys_issue(issuers: Issuers) -> None:
    """Registered for one client, it has no name for any other."""
    owner = Owner(uris=["spiffe://shop.internal/service/storefront"])
    with pytest.raises(UntrustedIssuerError):
        issuers.check(owned(owner), trust_domain=None, now=now())


def test_a_certificate_without_workload_is_none_of_ours(issuers: Issuers) -> None:
    """Our CA writes a SPIFFE ID into each."""
    with pytest.raises(UnnamedWorkloadError):
        issuers.check(owned(Owner()), trust_domain=None, now=now())


def test_elsewhere_names_need_be_no_spiffe_ids(issuers: Issuers) -> None:
    """Another PKI has its own; the path is what is asked for then."""
    with pytest.raises(UntrustedIssuerError):
        issuers.check(owned(Owner()), trust_domain=OTHER, now=now())


def test_a_remembered_path_ends_with_its_dates(issuers: Issuers, mesh: Mesh) -> None:
    """The first to end in the chain ends it, though the leaf goes on."""
    leaf = mesh.issue("orders", not_after=now() + timedelta(hours=48))
    shown = presented(leaf)
    issuers.check(shown, trust_domain=None, now=now())
    late = mesh.issuing.not_valid_after_utc + timedelta(seconds=1)
    with pytest.raises(UntrustedIssuerError):
        issuers.check(shown, trust_domain=None, now=late)


def test_the_memory_has_an_end(
    issuers: Issuers, mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many callers fill no memory."""
    monkeypatch.setattr("services.token.issuers._REMEMBERED", 2)
    for _ in range(3):
        issuers.check(presented(mesh.issue("orders")), trust_domain=None, now=now())
    assert len(issuers._own.verified) == 1


def test_the_roots_of_others_are_for_tls(
    issuers: Issuers, foreign_mesh: Mesh, twin: Mesh
) -> None:
    """They are what the listener lets in beside our own."""
    ders = [each.root.public_bytes(Encoding.DER) for each in (foreign_mesh, twin)]
    assert issuers.roots() == b"".join(ders)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN", b"-----BEGIN nonsense"])
def test_a_bad_bundle_lets_nobody_in(
    mesh: Mesh, foreign_mesh: Mesh, tmp_path: Path, content: bytes | None
) -> None:
    """And harms nobody of another trust domain."""
    path = tmp_path / "bundle.pem"
    if content is not None:
        path.write_bytes(content)
    issuers = Issuers(
        mesh.instance("token-service").live(), {OTHER: ForeignBundle(OTHER, path)}
    )
    assert issuers.roots() == b""
    issuers.check(presented(mesh.issue("orders")), trust_domain=None, now=now())
    shown = presented(foreign_mesh.issue("orders"))
    with pytest.raises(UntrustedIssuerError):
        issuers.check(shown, trust_domain=OTHER, now=now())


class Turn:
    """A clock of the disk that a test moves on."""

    seconds = 0.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.seconds


def test_our_own_roots_follow_the_identity(mesh: Mesh, foreign_mesh: Mesh) -> None:
    """A generation with other roots trusts by them at once."""
    instance, clock = mesh.instance("token-service"), Turn()
    issuers = Issuers(instance.live(clock), {})
    shown = presented(mesh.issue("orders"))
    issuers.check(shown, trust_domain=None, now=now())
    again = foreign_mesh.issue("token-service", uris=[str(instance.spiffe_id)])
    instance.turn(instance.write(again, bundle_pem=foreign_mesh.bundle_pem))
    clock.seconds += 2
    with pytest.raises(UntrustedIssuerError):
        issuers.check(shown, trust_domain=None, now=now())


def test_a_generation_that_cannot_be_read_changes_nothing(
    mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """What was good before still serves, and the log tells of it."""
    instance, clock = mesh.instance("token-service"), Turn()
    live = instance.live(clock)
    issuers = Issuers(live, {})
    directory: Any = instance.renew()
    clock.seconds += 2
    live.current()
    (directory / "bundle.pem").unlink()
    issuers.check(presented(mesh.issue("orders")), trust_domain=None, now=now())
    events = [line["event"] for line in lines(caplog)]
    assert "issuers.generation_refused" in events
