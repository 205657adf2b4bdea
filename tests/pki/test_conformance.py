"""What the library lets pass on a path is refused, each fault by itself."""

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.conformance import (
    ConformanceError,
    ConstraintError,
    KeyIdentifierError,
    SerialNumberError,
    UsageError,
)
from pki.errors import PkiError
from pki.path import WeakKeyError
from pki.trust import BundleError, TrustBundle, verify_chain
from tests.pki.builders import NO_NETWORK, NOW, Draft, Forge, p256

Fault = Callable[[Draft], Draft]


def key_named(**members: object) -> Fault:
    """Return what makes a draft name its signer by `members` beside the right key."""

    def named(draft: Draft) -> Draft:
        (right,) = (
            value
            for value, _ in draft.extensions
            if isinstance(value, x509.AuthorityKeyIdentifier)
        )
        whole: dict[str, object] = {
            "key_identifier": right.key_identifier,
            "authority_cert_issuer": None,
            "authority_cert_serial_number": None,
        }
        return draft.with_extension(x509.AuthorityKeyIdentifier(**(whole | members)))  # type: ignore[arg-type]  # a fault

    return named


ANOTHER_KEY = x509.AuthorityKeyIdentifier.from_issuer_public_key(p256().public_key())
NAMED_BY_ISSUER = key_named(
    authority_cert_issuer=[x509.DirectoryName(x509.Name([]))],
    authority_cert_serial_number=7,
)
ANY = x509.ExtendedKeyUsage(
    [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
        ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    ]
)
CLIENTS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
POLICY = x509.PolicyConstraints(require_explicit_policy=0, inhibit_policy_mapping=None)

# Where the fault is, what it is called, what refuses it.
FAULTS: list[tuple[str, str, type[PkiError], Fault]] = [
    (
        "leaf",
        "names another key than its issuer's",
        KeyIdentifierError,
        lambda draft: draft.with_extension(ANOTHER_KEY),
    ),
    ("leaf", "names its signer's certificate", KeyIdentifierError, NAMED_BY_ISSUER),
    ("leaf", "is for any usage", UsageError, lambda draft: draft.with_extension(ANY)),
    (
        "issuing",
        "does not name its own key",
        KeyIdentifierError,
        lambda draft: draft.without(x509.SubjectKeyIdentifier),
    ),
    (
        "issuing",
        "does not name its signer",
        KeyIdentifierError,
        lambda draft: draft.without(x509.AuthorityKeyIdentifier),
    ),
    (
        "issuing",
        "its name constraints are not critical",
        ConstraintError,
        lambda draft: draft.critical(x509.NameConstraints, to=False),
    ),
    (
        "issuing",
        "constrains policies",
        ConstraintError,
        lambda draft: draft.with_extension(POLICY),
    ),
    (
        "root",
        "does not name its own key",
        KeyIdentifierError,
        lambda draft: draft.without(x509.SubjectKeyIdentifier),
    ),
    (
        "root",
        "says that another key signed it",
        KeyIdentifierError,
        lambda draft: draft.with_extension(ANOTHER_KEY),
    ),
    (
        "root",
        "is for clients only",
        UsageError,
        lambda draft: draft.with_extension(CLIENTS),
    ),
]


def chain_with(forge: Forge, where: str, fault: Fault) -> list[x509.Certificate]:
    """Return leaf, issuing CA and root, the one of them with a fault."""
    none: Fault = lambda draft: draft  # noqa: E731 - a value
    faults = {"leaf": none, "issuing": none, "root": none} | {where: fault}
    return [
        faults["leaf"](forge.leaf_draft).sign(forge.issuing_key),
        faults["issuing"](forge.issuing_draft).sign(forge.root_key),
        faults["root"](forge.root_draft).sign(forge.root_key),
    ]


def verify(chain: list[x509.Certificate]) -> None:
    """Verify what a service presents, by the root that is last."""
    *presented, root = chain
    verify_chain(presented, TrustBundle("shop.internal", (root,)), now=NOW)


@pytest.mark.parametrize(
    ("where", "refusal", "fault"),
    [(where, refusal, fault) for where, _, refusal, fault in FAULTS],
    ids=[f"{where} {called}" for where, called, _, _ in FAULTS],
)
def test_one_fault_is_refused(
    forge: Forge, where: str, refusal: type[PkiError], fault: Fault
) -> None:
    """The library finds the path; with that one thing wrong it is refused."""
    verify(chain_with(forge, where, lambda draft: draft))
    with pytest.raises(refusal):
        verify(chain_with(forge, where, fault))


def test_root_need_not_name_its_signer(forge: Forge) -> None:
    """It signed itself (RFC 5280, section 4.2.1.1)."""
    without: Fault = lambda draft: draft.without(x509.AuthorityKeyIdentifier)  # noqa: E731 - a value
    verify(chain_with(forge, "root", without))


def with_serial_zero(draft: Draft, by: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """Return it signed with a serial number that no builder takes."""
    one = draft.but(serial=1).sign(by)
    tbs = one.tbs_certificate_bytes
    assert tbs.count(b"\x02\x01\x01\x30") == 1
    tbs = tbs.replace(b"\x02\x01\x01\x30", b"\x02\x01\x00\x30")
    signature = b"\x00" + by.sign(tbs, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    bits = b"\x03" + bytes([len(signature)]) + signature
    content = tbs + algorithm + bits
    return x509.load_der_x509_certificate(
        b"\x30\x82" + len(content).to_bytes(2, "big") + content
    )


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_serial_number_zero_is_refused(forge: Forge) -> None:
    """But not that of a root, whose name and key alone are trusted (section 6.1)."""
    leaf, issuing, root = chain_with(forge, "leaf", lambda draft: draft)
    verify([leaf, issuing, with_serial_zero(forge.root_draft, forge.root_key)])
    with pytest.raises(SerialNumberError):
        verify([with_serial_zero(forge.leaf_draft, forge.issuing_key), issuing, root])


def test_root_that_another_ca_signed_says_with_which_key(forge: Forge) -> None:
    """A CA in the middle may be trusted as a root, if it is a whole one."""
    leaf, issuing, _ = chain_with(forge, "leaf", lambda draft: draft)
    verify([leaf, issuing])
    bare = forge.issuing_draft.without(x509.AuthorityKeyIdentifier)
    with pytest.raises(KeyIdentifierError):
        verify([leaf, bare.sign(forge.root_key)])


def test_authority_with_an_unreadable_extension_is_refused(forge: Forge) -> None:
    """What only the library reads past is not passed over."""
    odd = x509.UnrecognizedExtension(x509.CRLDistributionPoints.oid, b"\x04\x00")
    chain = chain_with(forge, "issuing", lambda draft: draft.with_extension(odd))
    with pytest.raises(ConformanceError, match="unreadable"):
        verify(chain)


def test_root_with_an_unreadable_constraint_is_no_root(forge: Forge) -> None:
    """A name constraint on what is no network refuses the bundle."""
    odd = x509.UnrecognizedExtension(x509.NameConstraints.oid, NO_NETWORK)
    root = forge.root_draft.with_extension(odd, critical=True).sign(forge.root_key)
    with pytest.raises(BundleError):
        TrustBundle("shop.internal", (root,))


def test_rsa_key_of_odd_length_is_refused(forge: Forge) -> None:
    """2052 bits are more than 2048, and a key that no generator should make."""
    odd = rsa.generate_private_key(65537, 2052)
    with pytest.raises(WeakKeyError, match="2052"):
        verify(chain_with(forge, "leaf", lambda draft: draft.but(key=odd)))
