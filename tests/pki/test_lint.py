"""What must hold before a signature: one fault at a time, and each is found.

The faults a public linter (pkilint) lets pass are marked: a serial of low entropy, two
URI names, a SPIFFE ID without path, noRevAvail critical or beside a CRL pointer.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki import lint, profiles
from pki.lint_pointers import LintError
from pki.profile import KEY_USAGES
from tests.pki.builders import (
    NAMES,
    NOW,
    Draft,
    Forge,
    alternative,
    dns,
    draft_of,
    p256,
    uri,
)

Fault = Callable[[Draft], Draft]
CN = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "orders")])
OURS = NAMES.as_general_names()
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
NO_REV_AVAIL = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("2.5.29.56"), b"\x05\x00"
)
CRL_POINTER = x509.CRLDistributionPoints(
    [
        x509.DistributionPoint(
            uri("http://ca.shop.internal/crl"),
            relative_name=None,
            reasons=None,
            crl_issuer=None,
        )
    ]
)


def check_leaf(forge: Forge, draft: Draft) -> None:
    """Lint a service's certificate."""
    certificate = draft.sign(forge.issuing_key)
    lint.check_certificate(certificate, kind="service", issuer=forge.issuing)


def key_usage(*names: str) -> x509.KeyUsage:
    """Return a key usage with these bits."""
    return x509.KeyUsage(**{name: name in names for name in KEY_USAGES})


def test_right_certificates_pass(forge: Forge) -> None:
    """What the profiles build passes, whatever the linter knows of its own."""
    check_leaf(forge, forge.leaf_draft)
    lint.check_certificate(forge.issuing, kind="issuing", issuer=forge.root)
    lint.check_certificate(forge.root, kind="root", issuer=None)
    lint.check_certificate(cross(forge), kind="cross", issuer=forge.root)


def test_draft_is_signed_by_a_throwaway_key(forge: Forge) -> None:
    """The CA's key has signed nothing when the linter speaks."""
    builder = profiles.service(
        p256().public_key(),
        names=NAMES,
        issuer=forge.issuing,
        lifetime=timedelta(days=1),
        now=NOW,
    )
    draft = lint.verify_draft(builder, kind="service", issuer=forge.issuing)
    with pytest.raises(InvalidSignature):
        draft.verify_directly_issued_by(forge.issuing)


LEAF_FAULTS: list[tuple[str, str, Fault]] = [
    # pkilint lets this pass: a counter, or a clock, for a serial.
    ("low-entropy serial", "serial", lambda d: d.but(serial=20261122173516)),
    ("foreign issuer", "issuer", lambda d: d.but(issuer=CN)),
    ("empty issuer", "issuer", lambda d: d.but(issuer=x509.Name([]))),
    (
        "outlives issuer",
        "life",
        lambda d: d.but(ends=NOW + timedelta(days=181)),
    ),
    (
        "begins before issuer",
        "life",
        lambda d: d.but(begins=NOW - timedelta(minutes=6)),
    ),
    ("no life", "life", lambda d: d.but(ends=d.begins)),
    (
        "RSA key",
        "key",
        lambda d: d.but(key=rsa.generate_private_key(65537, 2048)),
    ),
    (
        "P-384 key",
        "key",
        lambda d: d.but(key=ec.generate_private_key(ec.SECP384R1())),
    ),
    ("key usage missing", "extensions", lambda d: d.without(x509.KeyUsage)),
    (
        "basic constraints missing",
        "extensions",
        lambda d: d.without(x509.BasicConstraints),
    ),
    (
        "alternative name missing",
        "extensions",
        lambda d: d.without(x509.SubjectAlternativeName),
    ),
    (
        "authority key identifier missing",
        "extensions",
        lambda d: d.without(x509.AuthorityKeyIdentifier),
    ),
    (
        "subject key identifier missing",
        "extensions",
        lambda d: d.without(x509.SubjectKeyIdentifier),
    ),
    (
        "extended key usage missing",
        "extensions",
        lambda d: d.without(x509.ExtendedKeyUsage),
    ),
    (
        "key usage not critical",
        "extensions",
        lambda d: d.critical(x509.KeyUsage, to=False),
    ),
    (
        "alternative name not critical",
        "extensions",
        lambda d: d.critical(x509.SubjectAlternativeName, to=False),
    ),
    (
        "authority key identifier critical",
        "extensions",
        lambda d: d.critical(x509.AuthorityKeyIdentifier, to=True),
    ),
    # pkilint lets these two pass.
    (
        "noRevAvail critical",
        "no_revocation",
        lambda d: d.with_extension(NO_REV_AVAIL, critical=True),
    ),
    (
        "noRevAvail beside a CRL pointer",
        "no_revocation",
        lambda d: d.with_extension(NO_REV_AVAIL).with_extension(CRL_POINTER),
    ),
    (
        "noRevAvail beside the pointer to a delta",
        "no_revocation",
        lambda d: d.with_extension(NO_REV_AVAIL).with_extension(
            x509.FreshestCRL(list(CRL_POINTER))
        ),
    ),
    (
        "noRevAvail that says something",
        "no_revocation",
        lambda d: d.with_extension(
            x509.UnrecognizedExtension(NO_REV_AVAIL.oid, b"\x01\x01\xff")
        ),
    ),
    (
        "CA",
        "basic_constraints",
        lambda d: d.with_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ),
    ),
    (
        "key encipherment with EC",
        "key_usage",
        lambda d: d.with_extension(
            key_usage("digital_signature", "key_encipherment"), critical=True
        ),
    ),
    (
        "certificate signing",
        "key_usage",
        lambda d: d.with_extension(
            key_usage("digital_signature", "key_cert_sign"), critical=True
        ),
    ),
    (
        "no usage",
        "key_usage",
        lambda d: d.with_extension(key_usage("crl_sign"), critical=True),
    ),
    (
        "another key's identifier",
        "key_identifiers",
        lambda d: d.with_extension(
            x509.SubjectKeyIdentifier.from_public_key(p256().public_key())
        ),
    ),
    (
        "another issuer's identifier",
        "key_identifiers",
        lambda d: d.with_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(p256().public_key())
        ),
    ),
    ("subject", "names", lambda d: d.but(subject=CN)),
    # pkilint lets these two pass.
    (
        "two URI names",
        "names",
        lambda d: d.with_extension(
            alternative(*OURS, *uri("spiffe://shop.internal/b")), critical=True
        ),
    ),
    (
        "SPIFFE ID without path",
        "names",
        lambda d: d.with_extension(
            alternative(*dns("localhost"), *uri("spiffe://shop.internal")),
            critical=True,
        ),
    ),
    (
        "DNS name outside the constraint",
        "names",
        lambda d: d.with_extension(
            alternative(*OURS, *dns("a.other.internal")), critical=True
        ),
    ),
    (
        "wildcard",
        "names",
        lambda d: d.with_extension(
            alternative(*OURS, *dns("*.shop.internal")), critical=True
        ),
    ),
    (
        "server only",
        "usages",
        lambda d: d.with_extension(x509.ExtendedKeyUsage([SERVER])),
    ),
    (
        "any usage",
        "usages",
        lambda d: d.with_extension(
            x509.ExtendedKeyUsage(
                [SERVER, CLIENT, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]
            )
        ),
    ),
]


@pytest.mark.parametrize(
    ("rule", "fault"),
    [item[1:] for item in LEAF_FAULTS],
    ids=[item[0] for item in LEAF_FAULTS],
)
def test_one_fault_in_a_service_is_found(forge: Forge, rule: str, fault: Fault) -> None:
    """A service's certificate with exactly one fault breaks exactly that rule."""
    with pytest.raises(LintError) as caught:
        check_leaf(forge, fault(forge.leaf_draft))
    assert caught.value.rule == rule


def test_no_revocation_alone_passes(forge: Forge) -> None:
    """So that of the faults with it, each is the only one."""
    check_leaf(forge, forge.leaf_draft.with_extension(NO_REV_AVAIL))


ISSUING_FAULTS: list[tuple[str, str, Fault]] = [
    (
        "noRevAvail in a CA",
        "no_revocation",
        lambda d: d.with_extension(NO_REV_AVAIL),
    ),
    (
        "no name constraints",
        "extensions",
        lambda d: d.without(x509.NameConstraints),
    ),
    (
        "name constraints not critical",
        "extensions",
        lambda d: d.critical(x509.NameConstraints, to=False),
    ),
    (
        "basic constraints not critical",
        "extensions",
        lambda d: d.critical(x509.BasicConstraints, to=False),
    ),
    (
        "no path length",
        "basic_constraints",
        lambda d: d.with_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        ),
    ),
    (
        "no CA",
        "basic_constraints",
        lambda d: d.with_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        ),
    ),
    (
        "signs TLS handshakes",
        "key_usage",
        lambda d: d.with_extension(
            key_usage("key_cert_sign", "crl_sign", "digital_signature"), critical=True
        ),
    ),
    ("no subject", "names", lambda d: d.but(subject=x509.Name([]))),
    (
        "SPIFFE ID with a path",
        "names",
        lambda d: d.with_extension(alternative(*uri("spiffe://shop.internal/ca"))),
    ),
    (
        "two trust domains",
        "names",
        lambda d: d.with_extension(alternative(*uri("spiffe://a", "spiffe://b"))),
    ),
    (
        "trust domain of another scheme",
        "names",
        lambda d: d.with_extension(alternative(*uri("shop.internal"))),
    ),
    (
        "outlives the root",
        "life",
        lambda d: d.but(ends=NOW + timedelta(days=3651)),
    ),
]


@pytest.mark.parametrize(
    ("rule", "fault"),
    [item[1:] for item in ISSUING_FAULTS],
    ids=[item[0] for item in ISSUING_FAULTS],
)
def test_one_fault_in_an_issuing_ca_is_found(
    forge: Forge, rule: str, fault: Fault
) -> None:
    """An issuing CA's certificate with exactly one fault breaks exactly that rule."""
    certificate = fault(forge.issuing_draft).sign(forge.root_key)
    with pytest.raises(LintError) as caught:
        lint.check_certificate(certificate, kind="issuing", issuer=forge.root)
    assert caught.value.rule == rule


def test_root_that_is_not_self_issued_is_found(forge: Forge) -> None:
    """A root names itself as issuer."""
    certificate = forge.root_draft.but(issuer=CN).sign(forge.root_key)
    with pytest.raises(LintError) as caught:
        lint.check_certificate(certificate, kind="root", issuer=None)
    assert caught.value.rule == "issuer"


def cross(forge: Forge, *, path_length: int | None = 1) -> x509.Certificate:
    """Return what the root gave the key of another one of its name."""
    key = p256()
    builder = profiles.root(
        key.public_key(),
        trust_domain="shop.internal",
        lifetime=timedelta(days=3650),
        now=NOW,
    )
    other = builder.sign(key, hashes.SHA256())
    draft = draft_of(
        profiles.cross(other, issuer=forge.root, lifetime=timedelta(days=9), now=NOW),
        key,
    )
    basic = x509.BasicConstraints(ca=True, path_length=path_length)
    return draft.with_extension(basic, critical=True).sign(forge.root_key)


@pytest.mark.parametrize("path_length", [None, 0, 2])
def test_cross_certificate_for_another_depth_is_found(
    forge: Forge, path_length: int | None
) -> None:
    """One issuing CA below it, and no CA below that."""
    with pytest.raises(LintError, match="basic_constraints"):
        lint.check_certificate(
            cross(forge, path_length=path_length), kind="cross", issuer=forge.root
        )


def test_service_without_issuer_is_found(forge: Forge) -> None:
    """No service's certificate is self-signed."""
    draft = forge.leaf_draft.but(issuer=x509.Name([]))
    with pytest.raises(LintError) as caught:
        lint.check_certificate(draft.sign(p256()), kind="service", issuer=None)
    assert caught.value.rule == "issuer"


def test_extension_that_stands_there_twice_is_found(forge: Forge) -> None:
    """The library builds no such certificate, so one is made by hand."""
    certificate = forge.leaf_draft.sign(forge.issuing_key)
    der = certificate.public_bytes(Encoding.DER)
    # subjectKeyIdentifier (2.5.29.14) becomes a second basicConstraints (2.5.29.19).
    twice = x509.load_der_x509_certificate(
        der.replace(b"\x06\x03\x55\x1d\x0e", b"\x06\x03\x55\x1d\x13")
    )
    with pytest.raises(LintError) as caught:
        lint.check_certificate(twice, kind="service", issuer=forge.issuing)
    assert caught.value.rule == "extensions"
