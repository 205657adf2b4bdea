"""The three kinds of certificate: what is in them, and what cannot be built."""

from datetime import timedelta
from itertools import pairwise

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, SignatureAlgorithmOID

from pki import profiles
from pki.identity import DnsName, Names
from tests.pki.builders import NAMES, NOW, Forge, p256

DAY = timedelta(days=1)


def service(
    forge: Forge,
    *,
    names: Names = NAMES,
    lifetime: timedelta = DAY,
    issuer: x509.Certificate | None = None,
) -> x509.Certificate:
    """Return the certificate of a service, built by the profile and signed."""
    builder = profiles.service(
        p256().public_key(),
        names=names,
        issuer=issuer or forge.issuing,
        lifetime=lifetime,
        now=NOW,
    )
    return builder.sign(forge.issuing_key, hashes.SHA256())


def extensions(certificate: x509.Certificate) -> dict[str, bool]:
    """Return the names of a certificate's extensions, and which are critical."""
    return {item.oid._name: item.critical for item in certificate.extensions}


def test_service_extensions(forge: Forge) -> None:
    """The set that nine of nine independent verifiers accepted, and nothing else."""
    assert extensions(service(forge)) == {
        "basicConstraints": True,
        "keyUsage": True,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
        "extendedKeyUsage": False,
        "subjectAltName": True,
    }


def test_issuing_ca_extensions(forge: Forge) -> None:
    """An issuing CA adds the name constraint, critical."""
    assert extensions(forge.issuing) == {
        "basicConstraints": True,
        "keyUsage": True,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
        "subjectAltName": False,
        "nameConstraints": True,
    }


def test_root_extensions(forge: Forge) -> None:
    """A root is bound by nothing but its being a CA."""
    assert extensions(forge.root) == {
        "basicConstraints": True,
        "keyUsage": True,
        "subjectKeyIdentifier": False,
        "authorityKeyIdentifier": False,
        "subjectAltName": False,
    }


def test_all_are_version_3_and_signed_with_ecdsa_sha256(forge: Forge) -> None:
    """Version 3, and one signature algorithm inside and outside."""
    for certificate in (forge.root, forge.issuing, service(forge)):
        assert certificate.version is x509.Version.v3
        oid = certificate.signature_algorithm_oid
        assert oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256


def test_service_is_server_and_client_and_no_ca(forge: Forge) -> None:
    """Both usages, digital signature alone, no authority (X509-SVID.md, section 4)."""
    found = service(forge).extensions
    usages = found.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]
    usage = found.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not any(
        [
            usage.content_commitment,
            usage.key_encipherment,
            usage.data_encipherment,
            usage.key_agreement,
            usage.key_cert_sign,
            usage.crl_sign,
        ]
    )
    assert not found.get_extension_for_class(x509.BasicConstraints).value.ca


def test_service_has_its_names_and_no_subject(forge: Forge) -> None:
    """An empty subject, the DNS names, and exactly one SPIFFE ID."""
    certificate = service(forge)
    names = certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value
    assert not certificate.subject.rdns
    assert list(names) == NAMES.as_general_names()


def test_issuing_ca_is_held_to_dns_names_only(forge: Forge) -> None:
    """No URI constraint: two of nine verifiers would refuse every certificate."""
    found = forge.issuing.extensions
    constraints = found.get_extension_for_class(x509.NameConstraints).value
    assert constraints.permitted_subtrees == [
        x509.DNSName("shop.internal"),
        x509.DNSName("localhost"),
    ]
    assert constraints.excluded_subtrees is None
    assert found.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


def test_authorities_sign_certificates_and_crls_only(forge: Forge) -> None:
    """KeyCertSign and cRLSign, and no digitalSignature."""
    for certificate in (forge.root, forge.issuing):
        found = certificate.extensions
        usage = found.get_extension_for_class(x509.KeyUsage).value
        assert usage.key_cert_sign
        assert usage.crl_sign
        assert not usage.digital_signature
        assert found.get_extension_for_class(x509.BasicConstraints).value.ca


def test_authorities_name_their_trust_domain(forge: Forge) -> None:
    """A CA carries the ID of its trust domain, without a path."""
    for certificate in (forge.root, forge.issuing):
        names = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        ).value
        assert list(names) == [x509.UniformResourceIdentifier("spiffe://shop.internal")]


def test_key_identifiers_link_the_chain(forge: Forge) -> None:
    """Each authority key identifier is the key alone, that of the issuer."""
    chain = [service(forge), forge.issuing, forge.root, forge.root]
    for certificate, issuer in pairwise(chain):
        authority = certificate.extensions.get_extension_for_class(
            x509.AuthorityKeyIdentifier
        ).value
        subject = issuer.extensions.get_extension_for_class(
            x509.SubjectKeyIdentifier
        ).value
        assert authority.key_identifier == subject.digest
        assert authority.authority_cert_issuer is None
        assert authority.authority_cert_serial_number is None
        assert certificate.issuer.public_bytes() == issuer.subject.public_bytes()


def test_serials_are_159_random_bits(forge: Forge) -> None:
    """Positive, 20 octets at most, all different, and no bit is always the same."""
    serials = [service(forge).serial_number for _ in range(64)]
    assert len(set(serials)) == 64
    assert all(0 < serial < 2**159 for serial in serials)
    ever_set = ever_clear = 0
    for serial in serials:
        ever_set |= serial
        ever_clear |= ~serial
    # Each bit fails one of the two once in 2^63 runs.
    assert ever_set == 2**159 - 1
    assert ever_clear & (2**159 - 1) == 2**159 - 1


def test_serial_is_never_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the dice show zero they are thrown again."""
    thrown = iter([0, 5])
    monkeypatch.setattr("secrets.randbits", lambda bits: next(thrown))
    assert profiles._new_serial() == 5


def test_backdating_counts_in_the_life(forge: Forge) -> None:
    """The life begins five minutes ago and lasts as long as the policy says."""
    certificate = service(forge)
    assert certificate.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW - timedelta(minutes=5) + DAY


def test_nobody_outlives_the_issuer(forge: Forge) -> None:
    """A life that would pass the issuer's end is cut there, for CAs too."""
    certificate = service(forge, lifetime=timedelta(days=4000))
    assert certificate.not_valid_after_utc == forge.issuing.not_valid_after_utc
    builder = profiles.issuing_ca(
        p256().public_key(),
        trust_domain="shop.internal",
        permitted_dns=(DnsName("shop.internal"),),
        issuer=forge.root,
        lifetime=timedelta(days=4000),
        now=NOW,
    )
    issuing = builder.sign(forge.root_key, hashes.SHA256())
    assert issuing.not_valid_after_utc == forge.root.not_valid_after_utc


def test_expired_issuer_gives_no_life(forge: Forge) -> None:
    """Nothing is built under a certificate that has ended."""
    ended = forge.issuing_draft.but(ends=NOW).sign(forge.root_key)
    with pytest.raises(profiles.IssuerExpiredError):
        service(forge, issuer=ended)


def test_dns_name_outside_the_constraint_is_refused(forge: Forge) -> None:
    """What the issuing CA may not certify is not built."""
    names = Names(NAMES.spiffe_id, (DnsName("orders.other.internal"),))
    with pytest.raises(
        profiles.NamesNotPermittedError, match=r"orders\.other\.internal"
    ):
        service(forge, names=names)


def test_unconstrained_issuer_certifies_nothing(forge: Forge) -> None:
    """A CA that is held to nothing is none of ours: unknown is no."""
    with pytest.raises(profiles.NamesNotPermittedError, match="nothing"):
        service(forge, issuer=forge.root)


def test_issuer_with_another_kind_of_key_is_refused(forge: Forge) -> None:
    """The key identifier is made for elliptic curve keys only."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer = forge.issuing_draft.but(key=key).sign(forge.root_key)
    with pytest.raises(profiles.ProfileError, match="elliptic curve"):
        service(forge, issuer=issuer)


def test_dates_from_2050_are_generalized_time() -> None:
    """UTCTime until 2049, GeneralizedTime from 2050 (RFC 5280, section 4.1.2.5)."""
    key = p256()
    builder = profiles.root(
        key.public_key(),
        trust_domain="shop.internal",
        lifetime=timedelta(days=9125),
        now=NOW,
    )
    der = builder.sign(key, hashes.SHA256()).tbs_certificate_bytes
    assert b"\x17\x0d261122173016Z" in der
    assert b"\x18\x0f20511116173016Z" in der
