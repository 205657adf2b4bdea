"""Tests of `services.wire.xfcc`: one element, as Envoy's SANITIZE_SET writes it."""

from collections.abc import Callable

import pytest
from cryptography import x509

from services.wire.forwarding_errors import (
    DuplicateFieldError,
    ForwardedError,
    MalformedFieldError,
    MissingFieldError,
    WrongHashError,
)
from services.wire.xfcc import FIELD, unverified_chain
from tests.services.mesh import Mesh
from tests.services.proxies.fields import pem, sha256, xfcc


@pytest.fixture(scope="module")
def leaf(mesh: Mesh) -> x509.Certificate:
    """Return a caller's certificate."""
    return mesh.issue("storefront").certificate


def test_an_element_is_a_certificate(leaf: x509.Certificate) -> None:
    """Cert holds it, and Hash agrees."""
    assert unverified_chain({FIELD: xfcc(leaf)}) == (leaf,)


def test_names_in_the_element_are_not_read(leaf: x509.Certificate) -> None:
    """Subject, URI and DNS may say what they like: the certificate says its own."""
    names = b';Subject="CN=\\"a, b\\";O=c";URI=spiffe://shop.internal/any;DNS=a;DNS=b'
    assert unverified_chain({FIELD: xfcc(leaf) + names}) == (leaf,)


def test_a_chain_begins_with_the_certificate(
    mesh: Mesh, leaf: x509.Certificate
) -> None:
    """Chain is leaf and issuers, and is taken whole."""
    value = xfcc(leaf) + b';Chain="%b"' % pem(leaf, mesh.issuing)
    assert unverified_chain({FIELD: value}) == (leaf, mesh.issuing)


# Each makes one fault: from a leaf and another certificate, a value.
Fault = Callable[[x509.Certificate, x509.Certificate], bytes]
FAULTS: dict[str, tuple[type[ForwardedError], Fault]] = {
    "empty": (MalformedFieldError, lambda leaf, other: b""),
    "no pair": (MalformedFieldError, lambda leaf, other: b"certificate"),
    "two elements": (
        DuplicateFieldError,
        lambda leaf, other: b"%b,%b" % (xfcc(other), xfcc(leaf)),
    ),
    "a second element of nothing": (
        DuplicateFieldError,
        lambda leaf, other: xfcc(leaf) + b",",
    ),
    "a semicolon at the end": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf) + b";",
    ),
    "two certificates": (
        DuplicateFieldError,
        lambda leaf, other: xfcc(leaf) + b';Cert="%b"' % pem(other),
    ),
    "two certificates in one": (
        DuplicateFieldError,
        lambda leaf, other: b'Hash=%b;Cert="%b"' % (sha256(leaf), pem(leaf, other)),
    ),
    "two hashes": (
        DuplicateFieldError,
        lambda leaf, other: xfcc(leaf) + b";Hash=" + sha256(other),
    ),
    "no hash": (MissingFieldError, lambda leaf, other: b'Cert="%b"' % pem(leaf)),
    "no certificate": (MissingFieldError, lambda leaf, other: b"Hash=" + sha256(leaf)),
    "another's hash": (
        WrongHashError,
        lambda leaf, other: b'Hash=%b;Cert="%b"' % (sha256(other), pem(leaf)),
    ),
    "a hash in upper case": (
        WrongHashError,
        lambda leaf, other: b'Hash=%b;Cert="%b"' % (sha256(leaf).upper(), pem(leaf)),
    ),
    "an unknown key": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf) + b";Trusted=yes",
    ),
    "a key in lower case": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf) + b";cert=" + pem(other),
    ),
    "a blank": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf).replace(b";", b"; "),
    ),
    "an open quote": (MalformedFieldError, lambda leaf, other: xfcc(leaf)[:-1]),
    "text behind the quote": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf) + b"Cert",
    ),
    "text before the certificate": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf).replace(b'Cert="', b'Cert="%23%0A'),
    ),
    "text behind the certificate": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf)[:-1] + b'%0A"',
    ),
    "half a certificate": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf)[:-200] + b'"',
    ),
    "a chain of another": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf) + b';Chain="%b"' % pem(other, leaf),
    ),
    "a chain of nothing": (
        MalformedFieldError,
        lambda leaf, other: xfcc(leaf) + b';Chain=""',
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_is_enough(mesh: Mesh, leaf: x509.Certificate, fault: str) -> None:
    """Each departure from the form refuses, for its own reason."""
    reason, make = FAULTS[fault]
    with pytest.raises(ForwardedError) as caught:
        unverified_chain({FIELD: make(leaf, mesh.issuing)})
    assert type(caught.value) is reason, caught.value


def test_no_field_is_no_caller() -> None:
    """A proxy that says nothing has not said that there is no certificate."""
    with pytest.raises(MissingFieldError):
        unverified_chain({})
