"""Where certificates point: built, read back, and everything else refused."""

import pytest
from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID as Access
from cryptography.x509.oid import ExtensionOID

from pki.pointers import (
    Addresses,
    PointerError,
    Pointers,
    authority_of,
    distribution_point,
    pointers_of,
    signer_of,
)
from tests.pki.builders import ADDRESSES, Draft, Forge

LIST = "http://ca.shop.internal/crl/aa/3.crl"
OCSP = "http://ca.shop.internal/ocsp"
CERTIFICATE = "http://ca.shop.internal/ca/aa.cer"


def place(method: x509.ObjectIdentifier, uri: str) -> x509.AccessDescription:
    """Return one line of an authority information access."""
    return x509.AccessDescription(method, x509.UniformResourceIdentifier(uri))


def pointing(forge: Forge, *extensions: x509.ExtensionType) -> x509.Certificate:
    """Return a service's certificate with these extensions."""
    draft: Draft = forge.leaf_draft
    for extension in extensions:
        draft = draft.with_extension(extension)
    return draft.sign(forge.issuing_key)


def test_pointers_are_read_as_they_were_written(forge: Forge) -> None:
    """The shard is a function of the serial, the path of the CA's key."""
    authority, serial = authority_of(forge.issuing), 4 * 10**40 + 3
    pointers = ADDRESSES.pointers(authority, serial)
    assert pointers == Pointers(
        crl=f"http://ca.shop.internal:8445/crl/{authority}/3.crl",
        ocsp="http://ca.shop.internal:8445/ocsp",
        ca_issuers=f"http://ca.shop.internal:8445/ca/{authority}.cer",
    )
    assert pointers_of(pointing(forge, *pointers.as_extensions())) == pointers


def test_certificate_that_points_nowhere_has_none(forge: Forge) -> None:
    """As all of them without addresses in the policy."""
    assert pointers_of(pointing(forge)) is None


@pytest.mark.parametrize(
    ("url", "shards"),
    [
        ("https://ca.shop.internal", 4),
        ("http://ca.shop.internal/", 4),
        ("http://", 4),
        ("http://CA.shop.internal", 4),
        ("http://ca.shop.internal/a?b", 4),
        ("http://ca.shop.internal\n", 4),
        ("ldap://ca.shop.internal", 4),
        ("http://ca.shop.internal", 0),
        ("http://ca.shop.internal", 1025),
    ],
)
def test_address_that_cannot_be_pointed_to_is_refused(url: str, shards: int) -> None:
    """Plain http, no slash at the end, one spelling."""
    with pytest.raises(PointerError):
        Addresses(url, shards)


GOOD_POINT = x509.CRLDistributionPoints([distribution_point(LIST)])
GOOD_ACCESS = x509.AuthorityInformationAccess(
    [place(Access.OCSP, OCSP), place(Access.CA_ISSUERS, CERTIFICATE)]
)
FAULTS: dict[str, tuple[x509.ExtensionType, ...]] = {
    "no responder": (GOOD_POINT,),
    "no list": (GOOD_ACCESS,),
    "two lists": (
        x509.CRLDistributionPoints([distribution_point(LIST)] * 2),
        GOOD_ACCESS,
    ),
    "two names of a list": (
        x509.CRLDistributionPoints([distribution_point(LIST, LIST)]),
        GOOD_ACCESS,
    ),
    "list by https": (
        x509.CRLDistributionPoints(
            [distribution_point(LIST.replace("http:", "https:"))]
        ),
        GOOD_ACCESS,
    ),
    "list of some reasons": (
        x509.CRLDistributionPoints(
            [
                x509.DistributionPoint(
                    full_name=[x509.UniformResourceIdentifier(LIST)],
                    relative_name=None,
                    reasons=frozenset({x509.ReasonFlags.key_compromise}),
                    crl_issuer=None,
                )
            ]
        ),
        GOOD_ACCESS,
    ),
    "list of another issuer": (
        x509.CRLDistributionPoints(
            [
                x509.DistributionPoint(
                    full_name=[x509.UniformResourceIdentifier(LIST)],
                    relative_name=None,
                    reasons=None,
                    crl_issuer=[x509.DNSName("ca.shop.internal")],
                )
            ]
        ),
        GOOD_ACCESS,
    ),
    "list that is no URI": (
        x509.CRLDistributionPoints(
            [
                x509.DistributionPoint(
                    full_name=[x509.DNSName("ca.shop.internal")],
                    relative_name=None,
                    reasons=None,
                    crl_issuer=None,
                )
            ]
        ),
        GOOD_ACCESS,
    ),
    "responder by https": (
        GOOD_POINT,
        x509.AuthorityInformationAccess(
            [
                place(Access.OCSP, OCSP.replace("http:", "https:")),
                place(Access.CA_ISSUERS, CERTIFICATE),
            ]
        ),
    ),
    "issuer by https": (
        GOOD_POINT,
        x509.AuthorityInformationAccess(
            [
                place(Access.OCSP, OCSP),
                place(Access.CA_ISSUERS, CERTIFICATE.replace("http:", "https:")),
            ]
        ),
    ),
    "no issuer": (
        GOOD_POINT,
        x509.AuthorityInformationAccess([place(Access.OCSP, OCSP)]),
    ),
    "unreadable": (
        x509.UnrecognizedExtension(ExtensionOID.CRL_DISTRIBUTION_POINTS, b"\x05\x01"),
        GOOD_ACCESS,
    ),
    "two responders": (
        GOOD_POINT,
        x509.AuthorityInformationAccess(
            [
                place(Access.OCSP, OCSP),
                place(Access.OCSP, OCSP),
                place(Access.CA_ISSUERS, CERTIFICATE),
            ]
        ),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_in_the_pointers_is_refused(forge: Forge, fault: str) -> None:
    """Everything else as it should be."""
    assert pointers_of(pointing(forge, GOOD_POINT, GOOD_ACCESS))
    with pytest.raises(PointerError):
        pointers_of(pointing(forge, *FAULTS[fault]))


def test_signer_is_named_by_the_key(forge: Forge) -> None:
    """A certificate that names none has none."""
    leaf = forge.leaf_draft
    assert signer_of(leaf.sign(forge.issuing_key)) == authority_of(forge.issuing)
    without = leaf.without(x509.AuthorityKeyIdentifier)
    assert signer_of(without.sign(forge.issuing_key)) is None
