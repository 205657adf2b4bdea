"""A list as those use it who verify: every fault alone, and what a good one says."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from pki import revocation
from pki.entry import Reason, Revocation
from pki.pointers import authority_of
from pki.revocation_list import (
    EarlyListError,
    ForeignListError,
    ListScopeError,
    ListSignatureError,
    OlderListError,
    RevocationList,
    RevocationListError,
    RevokedError,
    StaleListError,
    UnknownContentError,
    UnreadableListError,
    verify_list,
)
from tests.pki.builders import ADDRESSES, NOW, Forge

NAME = "http://ca.shop.internal:8445/crl/aa/3.crl"
ONE = Revocation(1, 0xABC, NOW, Reason.KEY_COMPROMISE, NOW + timedelta(days=1))


def edition(forge: Forge, number: int = 7) -> revocation.Edition:
    """Return what a list of now begins with."""
    return revocation.Edition(issuer=forge.issuing, number=number, this_update=NOW)


def signed(
    builder: x509.CertificateRevocationListBuilder,
    key: ec.EllipticCurvePrivateKey,
) -> bytes:
    """Return the list in DER."""
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def full(
    forge: Forge, *, number: int = 7, revoked: Sequence[Revocation] = (ONE,)
) -> RevocationList:
    """Return a good list."""
    builder = revocation.full(edition(forge, number), revoked)
    return verify_list(signed(builder, forge.issuing_key), forge.issuing)


def rebuilt(
    forge: Forge,
    *extensions: tuple[x509.ExtensionType, bool],
    issuer: x509.Name | None = None,
    entries: Sequence[x509.RevokedCertificate] = (),
) -> bytes:
    """Return a list signed by the issuing CA with these extensions and no others."""
    builder = x509.CertificateRevocationListBuilder(revoked_certificates=list(entries))
    builder = (
        builder.issuer_name(issuer or forge.issuing.subject)
        .last_update(NOW)
        .next_update(NOW + timedelta(days=1))
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return signed(builder, forge.issuing_key)


def key_identifier(forge: Forge) -> tuple[x509.ExtensionType, bool]:
    """Return the issuer's key identifier as every list has it."""
    own = bytes.fromhex(authority_of(forge.issuing))
    return x509.AuthorityKeyIdentifier(own, None, None), False


NUMBER = (x509.CRLNumber(7), False)


def point(**changes: bool) -> tuple[x509.ExtensionType, bool]:
    """Return the name of a shard, with one thing changed."""
    flags = {
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return (
        x509.IssuingDistributionPoint(
            full_name=[x509.UniformResourceIdentifier(NAME)],
            relative_name=None,
            only_some_reasons=None,
            **flags | changes,
        ),
        True,
    )


def test_good_list_says_what_it_says(forge: Forge) -> None:
    """Scope, number, moments, serials."""
    read = full(forge)
    assert read.authority == authority_of(forge.issuing)
    assert (read.names, read.number) == ((), 7)
    assert read.this_update == NOW
    assert read.next_update == NOW + timedelta(days=1)
    assert set(read.serials) == {0xABC}


def test_empty_list_is_a_list(forge: Forge) -> None:
    """Nothing is revoked."""
    assert not full(forge, revoked=()).serials


def test_shard_says_its_name(forge: Forge) -> None:
    """Byte for byte."""
    builder = revocation.shard(edition(forge), [ONE], names=[NAME])
    read = verify_list(signed(builder, forge.issuing_key), forge.issuing)
    assert read.names == (NAME,)


@pytest.mark.parametrize("der", [b"", b"rubbish", b"\x30\x03\x02\x01\x01"])
def test_bytes_that_are_no_list_are_refused(forge: Forge, der: bytes) -> None:
    """Before anything is looked at."""
    with pytest.raises(UnreadableListError):
        verify_list(der, forge.issuing)


def test_changed_list_is_refused(forge: Forge) -> None:
    """Every byte is under the signature."""
    der = signed(revocation.full(edition(forge), [ONE]), forge.issuing_key)
    changed = der.replace(b"\x0a\xbc", b"\x0a\xbd")
    assert changed != der
    with pytest.raises(ListSignatureError):
        verify_list(changed, forge.issuing)


def test_list_signed_by_another_key_is_refused(forge: Forge) -> None:
    """With everything else as it should be."""
    der = signed(revocation.full(edition(forge), [ONE]), forge.root_key)
    with pytest.raises(ListSignatureError, match="not signed by its issuer"):
        verify_list(der, forge.issuing)


def test_issuer_that_may_not_sign_lists_is_refused(forge: Forge) -> None:
    """Its key usage says so."""
    usage = forge.issuing.extensions.get_extension_for_class(x509.KeyUsage).value
    without = x509.KeyUsage(
        **{
            name.removeprefix("_"): value
            for name, value in vars(usage).items()
            if name != "_crl_sign"
        },
        crl_sign=False,
    )
    draft = forge.issuing_draft.with_extension(without, critical=True)
    der = signed(revocation.full(edition(forge), [ONE]), forge.issuing_key)
    with pytest.raises(ListSignatureError, match="may not sign"):
        verify_list(der, draft.sign(forge.root_key))


def test_number_that_is_critical_is_refused(forge: Forge) -> None:
    """Who does not know numbers would refuse the list (section 5.2.3)."""
    der = rebuilt(forge, key_identifier(forge), (x509.CRLNumber(7), True))
    with pytest.raises(UnreadableListError, match="critical"):
        verify_list(der, forge.issuing)


@pytest.mark.parametrize("kind", [x509.KeyUsage, x509.SubjectKeyIdentifier])
def test_issuer_that_does_not_say_what_it_may_is_refused(
    forge: Forge, kind: type[x509.ExtensionType]
) -> None:
    """What is left out of the issuer's certificate was not proved by anybody."""
    issuer = forge.issuing_draft.without(kind).sign(forge.root_key)
    der = signed(revocation.full(edition(forge), [ONE]), forge.issuing_key)
    with pytest.raises((ForeignListError, ListSignatureError)):
        verify_list(der, issuer)


def test_list_of_another_name_is_refused(forge: Forge) -> None:
    """Signed by the right key all the same."""
    der = rebuilt(forge, key_identifier(forge), NUMBER, issuer=forge.root.subject)
    with pytest.raises(ForeignListError, match="root CA"):
        verify_list(der, forge.issuing)


def test_list_of_another_key_of_the_name_is_refused(forge: Forge) -> None:
    """An earlier generation of the same CA has lists of its own."""
    other = Forge()
    der = signed(revocation.full(edition(other), [ONE]), other.issuing_key)
    with pytest.raises(ForeignListError, match="another key"):
        verify_list(der, forge.issuing)


@pytest.mark.parametrize("missing", ["key identifier", "number"])
def test_list_without_what_every_list_has_is_refused(
    forge: Forge, missing: str
) -> None:
    """Key identifier and number (RFC 5280, 5.2.1 and 5.2.3)."""
    extensions = {"key identifier": key_identifier(forge), "number": NUMBER}
    del extensions[missing]
    with pytest.raises(UnreadableListError, match="lacks"):
        verify_list(rebuilt(forge, *extensions.values()), forge.issuing)


def test_unknown_critical_extension_is_refused(forge: Forge) -> None:
    """It may say that the list is not what it seems."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    verify_list(
        rebuilt(forge, key_identifier(forge), NUMBER, (unknown, False)), forge.issuing
    )
    with pytest.raises(UnknownContentError, match=r"1\.2\.3"):
        verify_list(
            rebuilt(forge, key_identifier(forge), NUMBER, (unknown, True)),
            forge.issuing,
        )


def test_unknown_critical_extension_of_an_entry_is_refused(forge: Forge) -> None:
    """Such as the one that makes a list indirect."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00")
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(5)
        .revocation_date(NOW)
        .add_extension(unknown, critical=True)
        .build()
    )
    der = rebuilt(forge, key_identifier(forge), NUMBER, entries=[entry])
    with pytest.raises(UnknownContentError, match="an entry"):
        verify_list(der, forge.issuing)


def test_entry_that_takes_back_is_refused(forge: Forge) -> None:
    """Only a delta could have it (RFC 5280, 5.3.1)."""
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(5)
        .revocation_date(NOW)
        .add_extension(x509.CRLReason(x509.ReasonFlags.remove_from_crl), critical=False)
        .build()
    )
    der = rebuilt(forge, key_identifier(forge), NUMBER, entries=[entry])
    with pytest.raises(ListScopeError, match="takes a revocation back"):
        verify_list(der, forge.issuing)


def test_delta_alone_is_refused(forge: Forge) -> None:
    """What it does not list may be revoked."""
    der = signed(revocation.delta(edition(forge), [], base=3), forge.issuing_key)
    with pytest.raises(ListScopeError, match="delta"):
        verify_list(der, forge.issuing)


@pytest.mark.parametrize(
    "flag",
    [
        "indirect_crl",
        "only_contains_user_certs",
        "only_contains_ca_certs",
        "only_contains_attribute_certs",
    ],
)
def test_list_of_some_certificates_only_is_refused(forge: Forge, flag: str) -> None:
    """And an indirect one."""
    good = rebuilt(forge, key_identifier(forge), NUMBER, point())
    assert verify_list(good, forge.issuing).names == (NAME,)
    der = rebuilt(forge, key_identifier(forge), NUMBER, point(**{flag: True}))
    with pytest.raises(ListScopeError, match="not for all"):
        verify_list(der, forge.issuing)


def test_list_of_a_name_that_is_no_address_is_refused(forge: Forge) -> None:
    """No certificate of ours points there."""
    named = x509.IssuingDistributionPoint(
        full_name=[x509.DNSName("ca.shop.internal")],
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=False,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    der = rebuilt(forge, key_identifier(forge), NUMBER, (named, True))
    with pytest.raises(ListScopeError, match="own name"):
        verify_list(der, forge.issuing)


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        (NOW - timedelta(minutes=5), None),
        (NOW - timedelta(minutes=5, seconds=1), EarlyListError),
        (NOW + timedelta(hours=24) - timedelta(seconds=1), None),
        (NOW + timedelta(hours=24), StaleListError),
    ],
)
def test_list_is_relied_on_while_it_lasts(
    forge: Forge, now: datetime, refused: type[RevocationListError] | None
) -> None:
    """To the second; five minutes early for clocks that differ."""
    read = full(forge)
    if refused is None:
        read.check_current(now)
    else:
        with pytest.raises(refused):
            read.check_current(now)


def test_bound_shortens_the_reliance(forge: Forge) -> None:
    """And cannot lengthen it."""
    read = full(forge)
    bound = timedelta(minutes=1)
    read.check_current(NOW + timedelta(seconds=59), bound=bound)
    with pytest.raises(StaleListError):
        read.check_current(NOW + bound, bound=bound)
    with pytest.raises(StaleListError):
        read.check_current(NOW + timedelta(days=1), bound=timedelta(days=2))


def test_newer_list_follows(forge: Forge) -> None:
    """Numbers rise; the same or a lower one is a step back."""
    full(forge, number=8).check_follows(full(forge, number=7))
    for number in (7, 6):
        with pytest.raises(OlderListError):
            full(forge, number=number).check_follows(full(forge, number=7))


@pytest.mark.parametrize("change", [{"authority": "aa"}, {"names": (NAME,)}])
def test_list_of_another_scope_does_not_follow(
    forge: Forge, change: dict[str, object]
) -> None:
    """Its numbers are of another series."""
    other = replace(full(forge, number=8), **change)  # type: ignore[arg-type]  # by name
    with pytest.raises(ListScopeError):
        other.check_follows(full(forge))


def test_certificate_that_is_not_listed_passes(forge: Forge) -> None:
    """A full list is for all certificates of its issuer."""
    full(forge).check_certificate(forge.leaf_draft.sign(forge.issuing_key))


def test_revoked_certificate_is_refused(forge: Forge) -> None:
    """By its serial."""
    certificate = forge.leaf_draft.sign(forge.issuing_key)
    listed = ONE._replace(serial=certificate.serial_number)
    with pytest.raises(RevokedError, match=f"{certificate.serial_number:x}"):
        full(forge, revoked=[listed]).check_certificate(certificate)


def test_certificate_of_another_issuer_is_not_judged(forge: Forge) -> None:
    """The list says nothing of it, and nothing is no answer."""
    with pytest.raises(ForeignListError):
        full(forge).check_certificate(forge.issuing)


def test_certificate_of_another_shard_is_not_judged(forge: Forge) -> None:
    """Nor one that points nowhere; the right shard judges."""
    authority = authority_of(forge.issuing)
    serial = forge.leaf_draft.serial
    pointers = ADDRESSES.pointers(authority, serial)
    draft = forge.leaf_draft
    for extension in pointers.as_extensions():
        draft = draft.with_extension(extension)
    certificate = draft.sign(forge.issuing_key)
    mine = replace(full(forge), names=(pointers.crl,))
    mine.check_certificate(certificate)
    elsewhere = replace(full(forge), names=(NAME,))
    for other in (certificate, forge.leaf_draft.sign(forge.issuing_key)):
        with pytest.raises(ListScopeError):
            elsewhere.check_certificate(other)


GARBAGE = b"\x30\x00"


def garbled(oid: x509.ObjectIdentifier) -> x509.UnrecognizedExtension:
    """Return an extension of a known kind with a content that is none."""
    return x509.UnrecognizedExtension(oid, GARBAGE)


def test_unreadable_extension_is_refused(forge: Forge) -> None:
    """Of the list, or of an entry."""
    number = garbled(ExtensionOID.CRL_NUMBER)
    with pytest.raises(UnreadableListError, match="no revocation list"):
        verify_list(
            rebuilt(forge, key_identifier(forge), (number, False)), forge.issuing
        )
    entry = (
        x509.RevokedCertificateBuilder()
        .serial_number(5)
        .revocation_date(NOW)
        .add_extension(garbled(CRLEntryExtensionOID.CRL_REASON), critical=False)
        .build()
    )
    der = rebuilt(forge, key_identifier(forge), NUMBER, entries=[entry])
    with pytest.raises(UnreadableListError, match="an entry"):
        verify_list(der, forge.issuing)


def test_certificate_with_unreadable_pointers_is_not_judged(forge: Forge) -> None:
    """A shard is for those that name it."""
    points = garbled(ExtensionOID.CRL_DISTRIBUTION_POINTS)
    certificate = forge.leaf_draft.with_extension(points).sign(forge.issuing_key)
    with pytest.raises(RevocationListError):
        replace(full(forge), names=(NAME,)).check_certificate(certificate)


def sequence(content: bytes) -> bytes:
    """Return a SEQUENCE in DER, of fewer than 256 octets."""
    long = b"\x81" if len(content) > 127 else b""
    return b"\x30" + long + bytes([len(content)]) + content


def test_list_without_an_end_is_refused(forge: Forge) -> None:
    """It could be kept for ever (RFC 5280, 5.1.2.5)."""
    der = signed(revocation.full(edition(forge), []), forge.issuing_key)
    crl = x509.load_der_x509_crl(der)
    tbs = crl.tbs_certlist_bytes
    time = b"\x17\x0d"  # UTCTime of 13 octets
    position = tbs.index(time, tbs.index(time) + 1)
    header = 3 if tbs[1] == 0x81 else 2
    tbs = sequence(tbs[header:position] + tbs[position + 15 :])
    signature = forge.issuing_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    bits = bytes([0x03, len(signature) + 1, 0])
    endless = sequence(tbs + algorithm + bits + signature)
    assert x509.load_der_x509_crl(endless).next_update_utc is None
    with pytest.raises(UnreadableListError, match="does not say when"):
        verify_list(endless, forge.issuing)


def test_list_signed_by_another_kind_of_key_is_refused(forge: Forge) -> None:
    """An algorithm that the issuer's key has nothing to do with."""
    builder = revocation.full(edition(forge), [])
    key = rsa.generate_private_key(65537, 2048)
    der = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
    with pytest.raises(ListSignatureError):
        verify_list(der, forge.issuing)


def test_many_serials_cost_little(forge: Forge) -> None:
    """A fifth of 20 MB for a fifth of 100,000, and asking is no search."""
    revoked = [
        ONE._replace(serial=(1 << 158) + number * 7919) for number in range(20_000)
    ]
    serials = full(forge, revoked=revoked).serials
    assert len(serials) == 20_000
    assert sys.getsizeof(serials._octets) < 20_000 * 20 + 100
    assert revoked[7_777].serial in serials
