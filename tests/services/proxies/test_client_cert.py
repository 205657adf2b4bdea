"""Tests of `services.wire.client_cert`: RFC 9440, section 2, to the last character."""

from base64 import b64encode
from collections.abc import Callable
from itertools import count

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.wire.client_cert import CHAIN, FIELD, unverified_chain, written
from services.wire.forwarding_errors import (
    ChainAloneError,
    DuplicateFieldError,
    ForwardedError,
    LeafInChainError,
    MalformedFieldError,
    MissingFieldError,
)
from tests.services.mesh import Mesh
from tests.services.proxies.fields import client_cert


@pytest.fixture(scope="module")
def leaf(mesh: Mesh) -> x509.Certificate:
    """Return a caller's certificate."""
    return mesh.issue("storefront").certificate


@pytest.fixture(scope="module")
def value(leaf: x509.Certificate) -> bytes:
    """Return a good Client-Cert."""
    return client_cert(leaf)


def test_a_byte_sequence_is_a_certificate(leaf: x509.Certificate, value: bytes) -> None:
    """The DER form in base64 between colons is the caller's certificate."""
    assert unverified_chain({FIELD: value}) == (leaf,)


def test_blanks_around_a_value_are_no_part_of_it(
    leaf: x509.Certificate, value: bytes
) -> None:
    """A parser of HTTP may leave them (RFC 9651, section 4.2)."""
    assert unverified_chain({FIELD: b" %b  " % value}) == (leaf,)


@pytest.mark.parametrize("comma", [b",", b", ", b" ,\t"])
def test_a_chain_follows_its_certificate(
    mesh: Mesh, leaf: x509.Certificate, value: bytes, comma: bytes
) -> None:
    """Client-Cert-Chain is a list, with white space around its commas or none."""
    chain = comma.join([client_cert(mesh.issuing), client_cert(mesh.root)])
    found = unverified_chain({FIELD: value, CHAIN: chain})
    assert found == (leaf, mesh.issuing, mesh.root)


def test_what_is_written_can_be_read(mesh: Mesh, leaf: x509.Certificate) -> None:
    """`written` makes fields that `unverified_chain` takes."""
    fields = {FIELD: written(leaf), CHAIN: written(mesh.issuing, mesh.root)}
    assert unverified_chain(fields) == (leaf, mesh.issuing, mesh.root)


def refused(fields: dict[bytes, bytes], reason: type[ForwardedError]) -> None:
    """Assert that exactly this reason refuses the fields."""
    with pytest.raises(ForwardedError) as caught:
        unverified_chain(fields)
    assert type(caught.value) is reason, caught.value


def test_no_field_is_no_caller() -> None:
    """A proxy that says nothing has not said that there is no certificate."""
    refused({}, MissingFieldError)


def test_a_chain_alone_is_refused(mesh: Mesh) -> None:
    """Client-Cert-Chain comes only along with Client-Cert (section 2.3)."""
    refused({CHAIN: client_cert(mesh.issuing)}, ChainAloneError)


def test_a_list_is_refused(value: bytes) -> None:
    """Client-Cert is one item (section 2.2)."""
    refused({FIELD: b"%b, %b" % (value, value)}, DuplicateFieldError)


def test_a_chain_does_not_hold_the_leaf(
    mesh: Mesh, leaf: x509.Certificate, value: bytes
) -> None:
    """The certificate itself is no part of its chain (section 2.3)."""
    chain = written(leaf, mesh.issuing)
    refused({FIELD: value, CHAIN: chain}, LeafInChainError)


@pytest.mark.parametrize("chain", [b"", b" ", b":"])
def test_an_empty_chain_is_no_chain(value: bytes, chain: bytes) -> None:
    """A list of nothing is not sent (RFC 9651, section 3.1)."""
    refused({FIELD: value, CHAIN: chain}, MalformedFieldError)


ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def spare_bits(value: bytes) -> bytes:
    """Return the same bytes in another spelling: the bits behind them are not zero."""
    body = value[1:-1].rstrip(b"=")
    last = ALPHABET.index(body[-1:])
    return b":" + body[:-1] + ALPHABET[last + 1 : last + 2] + value[1 + len(body) :]


# Each makes one fault in a good value, whose base64 ends with padding.
FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda value: b"",
    "blank": lambda value: b" ",
    "no colons": lambda value: value[1:-1],
    "no colon at the end": lambda value: value[:-1],
    "no colon at the start": lambda value: value[1:],
    "nothing between": lambda value: b"::",
    "a parameter": lambda value: value + b";a=1",
    "a string": lambda value: b'"%b"' % value[1:-1],
    "a token": lambda value: b"certificate",
    "an inner list": lambda value: b"(%b)" % value,
    "a line break": lambda value: value[:65] + b"\n" + value[65:],
    "a blank inside": lambda value: value[:65] + b" " + value[65:],
    "another alphabet": lambda value: value[:65] + b"_" + value[66:],
    "no padding": lambda value: value.replace(b"=", b""),
    "spare bits": spare_bits,
    "another character set": lambda value: value[:65] + b"\xff" + value[66:],
}


@pytest.fixture(scope="module")
def padded(mesh: Mesh) -> bytes:
    """Return a good value whose base64 ends with padding."""
    values = (client_cert(mesh.issue("storefront").certificate) for _ in count())
    return next(value for value in values if value.endswith(b"=:"))


@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_one_spelling_is_taken(padded: bytes, fault: str) -> None:
    """What a lenient decoder of base64 would forgive is refused."""
    unverified_chain({FIELD: padded})
    value = FAULTS[fault](padded)
    assert value != padded
    refused({FIELD: value}, MalformedFieldError)


# What is between the colons, made from a good certificate.
CONTENTS: dict[str, Callable[[x509.Certificate], bytes]] = {
    "PEM": lambda leaf: leaf.public_bytes(Encoding.PEM),
    "no certificate": lambda leaf: b"certificate",
    "a byte too many": lambda leaf: leaf.public_bytes(Encoding.DER) + b"\0",
    "half of it": lambda leaf: leaf.public_bytes(Encoding.DER)[:300],
    "twice": lambda leaf: leaf.public_bytes(Encoding.DER) * 2,
}


@pytest.mark.parametrize("content", CONTENTS)
def test_only_der_is_a_certificate(leaf: x509.Certificate, content: str) -> None:
    """A byte sequence holds the DER form of one certificate, and nothing else."""
    value = b":%b:" % b64encode(CONTENTS[content](leaf))
    refused({FIELD: value}, MalformedFieldError)


def test_a_certificate_that_a_library_only_warns_of_is_none(
    leaf: x509.Certificate,
) -> None:
    """A serial number below one is none (RFC 5280, section 4.1.2.2)."""
    der = leaf.public_bytes(Encoding.DER)
    serial = leaf.serial_number.to_bytes(leaf.serial_number.bit_length() // 8 + 1)
    negative = der.replace(serial, bytes([serial[0] | 0x80]) + serial[1:], 1)
    assert negative != der
    refused({FIELD: b":%b:" % b64encode(negative)}, MalformedFieldError)
