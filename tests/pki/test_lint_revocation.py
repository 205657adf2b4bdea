"""What must hold of a service's pointers and of a responder, one fault at a time."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import AuthorityInformationAccessOID as Access
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki import lint, profiles
from pki.lint_pointers import LintError
from pki.pointers import authority_of, distribution_point, pointers_of
from tests.pki.builders import (
    ADDRESSES,
    NAMES,
    NOW,
    Draft,
    Forge,
    alternative,
    dns,
    draft_of,
    p256,
)

Fault = Callable[[Draft], Draft]


def service(forge: Forge) -> Draft:
    """Return the certificate of a service that says where its revocation is told."""
    key = p256()
    builder = profiles.service(
        key.public_key(),
        names=NAMES,
        issuer=forge.issuing,
        lifetime=timedelta(days=1),
        now=NOW,
        addresses=ADDRESSES,
    )
    return draft_of(builder, key)


def responder(forge: Forge) -> Draft:
    """Return the certificate of an OCSP responder."""
    key = p256()
    builder = profiles.responder(
        key.public_key(),
        trust_domain="shop.internal",
        issuer=forge.issuing,
        lifetime=timedelta(days=7),
        now=NOW,
    )
    return draft_of(builder, key)


def check(forge: Forge, draft: Draft, kind: str) -> None:
    """Lint a certificate of the issuing CA."""
    certificate = draft.sign(forge.issuing_key)
    lint.check_certificate(certificate, kind=kind, issuer=forge.issuing)


def test_service_says_where_its_revocation_is_told(forge: Forge) -> None:
    """Its shard's list, the responder and the issuer, none of them critical."""
    draft = service(forge)
    certificate = draft.sign(forge.issuing_key)
    check(forge, draft, "service")
    expected = ADDRESSES.pointers(authority_of(forge.issuing), draft.serial)
    assert pointers_of(certificate) == expected
    for kind in (x509.CRLDistributionPoints, x509.AuthorityInformationAccess):
        assert not certificate.extensions.get_extension_for_class(kind).critical


def test_responder_is_certified_for_answers_alone(forge: Forge) -> None:
    """RFC 6960, 4.2.2.2: its usage, no check of itself, a short life."""
    draft = responder(forge)
    check(forge, draft, "responder")
    certificate = draft.sign(forge.issuing_key)
    found = {item.oid._name: item.critical for item in certificate.extensions}
    assert found == {
        "basicConstraints": True,
        "keyUsage": True,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
        "extendedKeyUsage": False,
        "OCSPNoCheck": False,
    }
    assert certificate.subject.rfc4514_string() == "CN=shop.internal OCSP responder"
    assert draft.ends - draft.begins == timedelta(days=7)


LIST = "http://ca.shop.internal/crl/aa/1.crl"


def access(*places: tuple[x509.ObjectIdentifier, str]) -> x509.ExtensionType:
    """Return an authority information access with these lines."""
    return x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(uri))
            for method, uri in places
        ]
    )


NO_REV_AVAIL = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("2.5.29.56"), b"\x05\x00"
)
FRESHEST = x509.FreshestCRL([distribution_point(LIST)])
SERVICE_FAULTS: list[tuple[str, Fault]] = [
    ("extensions", lambda draft: draft.without(x509.CRLDistributionPoints)),
    ("extensions", lambda draft: draft.without(x509.AuthorityInformationAccess)),
    ("extensions", lambda draft: draft.critical(x509.CRLDistributionPoints, to=True)),
    (
        "extensions",
        lambda draft: draft.critical(x509.AuthorityInformationAccess, to=True),
    ),
    ("no_revocation", lambda draft: draft.with_extension(NO_REV_AVAIL)),
    ("extensions", lambda draft: draft.with_extension(FRESHEST)),
    ("extensions", lambda draft: draft.with_extension(x509.OCSPNoCheck())),
    (
        "pointers",
        lambda draft: draft.with_extension(
            x509.CRLDistributionPoints([distribution_point(LIST)])
        ),
    ),
    (
        "pointers",
        lambda draft: draft.with_extension(
            access((Access.OCSP, "http://ca/ocsp"), (Access.CA_ISSUERS, "https://ca/a"))
        ),
    ),
    (
        "pointers",
        lambda draft: draft.with_extension(access((Access.OCSP, "http://ca/ocsp"))),
    ),
]


@pytest.mark.parametrize(("rule", "fault"), SERVICE_FAULTS)
def test_one_fault_in_a_services_pointers_is_found(
    forge: Forge, rule: str, fault: Fault
) -> None:
    """In an otherwise good certificate, under its own rule."""
    with pytest.raises(LintError) as refused:
        check(forge, fault(service(forge)), "service")
    assert refused.value.rule == rule


SERVER = ExtendedKeyUsageOID.SERVER_AUTH
ANSWERS = ExtendedKeyUsageOID.OCSP_SIGNING
RESPONDER_FAULTS: list[tuple[str, Fault]] = [
    ("extensions", lambda draft: draft.without(x509.OCSPNoCheck)),
    ("extensions", lambda draft: draft.critical(x509.OCSPNoCheck, to=True)),
    ("extensions", lambda draft: draft.without(x509.ExtendedKeyUsage)),
    (
        "extensions",
        lambda draft: draft.with_extension(alternative(*dns("ca.shop.internal"))),
    ),
    (
        "usages",
        lambda draft: draft.with_extension(x509.ExtendedKeyUsage([ANSWERS, SERVER])),
    ),
    ("usages", lambda draft: draft.with_extension(x509.ExtendedKeyUsage([SERVER]))),
    ("names", lambda draft: draft.but(subject=x509.Name([]))),
    ("life", lambda draft: draft.but(ends=NOW + timedelta(days=9))),
    (
        "basic_constraints",
        lambda draft: draft.with_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ),
    ),
]


@pytest.mark.parametrize(("rule", "fault"), RESPONDER_FAULTS)
def test_one_fault_in_a_responder_is_found(
    forge: Forge, rule: str, fault: Fault
) -> None:
    """In an otherwise good certificate, under its own rule."""
    with pytest.raises(LintError) as refused:
        check(forge, fault(responder(forge)), "responder")
    assert refused.value.rule == rule


def test_responder_ends_with_its_issuer(forge: Forge) -> None:
    """As everybody does."""
    builder = profiles.responder(
        p256().public_key(),
        trust_domain="shop.internal",
        issuer=forge.issuing,
        lifetime=timedelta(days=7),
        now=forge.issuing.not_valid_after_utc - timedelta(hours=1),
    )
    made = builder.sign(forge.issuing_key, hashes.SHA256())
    assert made.not_valid_after_utc == forge.issuing.not_valid_after_utc
