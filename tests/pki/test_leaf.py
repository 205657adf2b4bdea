"""A service's certificate, written octet by octet, is what the library would build."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from pki import der, leaf
from pki.identity import DnsName, Names, SpiffeId
from pki.pointers import Pointers
from pki.profile import SERVICE
from tests.pki.builders import NAMES, NOW, Forge, p256

POINTERS = Pointers(
    crl="http://ca.shop.internal/crl/00/7.crl",
    ocsp="http://ca.shop.internal/ocsp",
    ca_issuers="http://ca.shop.internal/ca/00.cer",
)
MANY = Names(
    SpiffeId.parse("spiffe://shop.internal/service/orders"),
    tuple(DnsName(f"orders-{number}.shop.internal") for number in range(30)),
)
AFTER_2049 = datetime(2050, 1, 1, tzinfo=UTC)
SERIALS = [1, 0x7F, 0x80, 2**127, 2**159 - 1]  # the first bit is the sign's


def built(  # noqa: PLR0913 - the same as `leaf.write`
    key: ec.EllipticCurvePublicKey,
    *,
    serial: int,
    names: Names,
    issuer: x509.Certificate,
    begins: datetime,
    ends: datetime,
    pointers: Pointers | None,
) -> bytes:
    """Return what the library's builder has signed, of the same certificate."""
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    told = pointers.as_extensions() if pointers else ()
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (SERVICE.basic_constraints, True),
        (SERVICE.usages, True),
        (x509.SubjectKeyIdentifier.from_public_key(key), False),
        (by, False),
        (x509.ExtendedKeyUsage(SERVICE.extended_key_usage), False),
        *((one, False) for one in told),
        (x509.SubjectAlternativeName(names.as_general_names()), True),
    ]
    builder = (
        x509.CertificateBuilder()
        .serial_number(serial)
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(p256(), hashes.SHA256()).tbs_certificate_bytes


@pytest.mark.parametrize("serial", SERIALS, ids=hex)
@pytest.mark.parametrize("pointers", [None, POINTERS], ids=["short-lived", "pointers"])
@pytest.mark.parametrize("names", [NAMES, MANY], ids=["two names", "thirty names"])
def test_octets_are_those_of_the_librarys_builder(
    forge: Forge, serial: int, pointers: Pointers | None, names: Names
) -> None:
    """Two hands, one certificate, whatever length its parts have."""
    key = p256().public_key()
    begins, ends = NOW, NOW + timedelta(days=1)
    written = leaf.write(
        key,
        serial=serial,
        names=names,
        issuer=forge.issuing,
        begins=begins,
        ends=ends,
        pointers=pointers,
    )
    assert written.octets == built(
        key,
        serial=serial,
        names=names,
        issuer=forge.issuing,
        begins=begins,
        ends=ends,
        pointers=pointers,
    )


def test_life_that_ends_after_2049_has_four_digits_of_the_year(forge: Forge) -> None:
    """RFC 5280, section 4.1.2.5: UTCTime until then, GeneralizedTime from then on."""
    signed = leaf.write(
        p256().public_key(),
        serial=2**158,
        names=NAMES,
        issuer=forge.issuing,
        begins=AFTER_2049 - timedelta(seconds=1),
        ends=AFTER_2049,
        pointers=None,
    ).sign(forge.issuing_key, hashes.SHA256())
    assert signed.not_valid_after_utc == AFTER_2049
    assert (
        b"\x17\x0d491231235959Z\x18\x0f20500101000000Z" in signed.tbs_certificate_bytes
    )


def test_moment_of_another_zone_is_written_in_utc() -> None:
    """A clock of another zone means the same moment."""
    elsewhere = NOW.astimezone(datetime.fromisoformat("2026-01-01T00:00+09:00").tzinfo)
    assert der.moment(elsewhere) == der.moment(NOW)


def test_signature_is_the_cas_over_what_was_linted(forge: Forge) -> None:
    """The octets of the draft are those that are signed."""
    unsigned = leaf.write(
        p256().public_key(),
        serial=2**158,
        names=NAMES,
        issuer=forge.issuing,
        begins=NOW,
        ends=NOW + timedelta(days=1),
        pointers=None,
    )
    signed = unsigned.sign(forge.issuing_key, hashes.SHA256())
    signed.verify_directly_issued_by(forge.issuing)
    assert signed.tbs_certificate_bytes == unsigned.octets
    assert unsigned.draft().tbs_certificate_bytes == unsigned.octets


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        (p256(), hashes.SHA384()),
        (p256(), None),
        (ed25519.Ed25519PrivateKey.generate(), hashes.SHA256()),
    ],
    ids=["SHA-384", "no hash", "Ed25519"],
)
def test_nothing_else_than_its_algorithm_signs_it(
    forge: Forge,
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    digest: hashes.HashAlgorithm | None,
) -> None:
    """The algorithm is named inside of what is signed (RFC 5280, section 4.1.2.3)."""
    unsigned = leaf.write(
        p256().public_key(),
        serial=2**158,
        names=NAMES,
        issuer=forge.issuing,
        begins=NOW,
        ends=NOW + timedelta(days=1),
        pointers=None,
    )
    with pytest.raises(TypeError):
        unsigned.sign(key, digest)
