"""What must hold of a service's certificate, when all but a few octets were held to it.

`lint` comes here with certificates of services: there are many, and all that one CA
makes at a time differ in five places: serial, life, key, its identifier, names. What
surrounds these places is judged by all rules the first time it is seen, and then known
by its octets. The five are judged each time, by the same rules. A certificate of any
other make is for `lint` to judge as a whole.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha1
from typing import NamedTuple

from cryptography import x509

from pki.identity import DnsName, IdentityError, Names, SpiffeId
from pki.lint_pointers import LintError
from pki.lint_values import check_life, check_names, check_serial

_INTEGER, _OCTET_STRING, _UTC_TIME, _SEQUENCE = 0x02, 0x04, 0x17, 0x30
_DNS_NAME, _URI = 0x82, 0x86
_LONG = 0x80
_VERSION_3 = bytes.fromhex("a003020102")
_NO_SUBJECT_P256 = bytes.fromhex(
    "30003059301306072a8648ce3d020106082a8648ce3d03010703420004"
)
_IDENTIFIER, _SHA1 = bytes.fromhex("0603551d0e04160414"), 20
_ALTERNATIVE_NAME = bytes.fromhex("0603551d110101ff")  # critical
_COORDINATE = 32  # octets
_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
# What was judged but for the places that differ, by issuer.
_KNOWN: dict[tuple[tuple[bytes, ...], x509.Certificate], None] = {}
_MOST_KNOWN = 2048  # of some 600 octets: one CA has as many as shards and lengths


class Leaf(NamedTuple):
    """A TBSCertificate, taken apart: its five places, and the rest with all lengths."""

    rest: tuple[bytes, ...]
    serial: bytes
    life: bytes
    point: bytes
    identifier: bytes
    names: bytes


def take_apart(octets: bytes) -> Leaf | None:
    """Return the parts of what a CA makes for services; None if it looks different.

    Where the places are is read from the lengths before them, which are in `rest`: two
    certificates of one `rest` have them at the same octets.
    """
    try:
        places = _places(octets)
    except IndexError:  # a length that reaches outside
        return None
    if places is None:
        return None
    found = [octets[begin:end] for begin, end in places]
    ends = [0, *(end for _, end in places)]
    begins = [*(begin for begin, _ in places), len(octets)]
    between = zip(ends, begins, strict=True)
    return Leaf(tuple([octets[end:begin] for end, begin in between]), *found)


def _places(octets: bytes) -> list[tuple[int, int]] | None:
    at, _ = _content(octets, 0, _SEQUENCE)
    if not octets.startswith(_VERSION_3, at):
        return None
    serial = _content(octets, at + len(_VERSION_3), _INTEGER)
    _, at = _content(octets, serial[1], _SEQUENCE)  # algorithm
    _, at = _content(octets, at, _SEQUENCE)  # issuer
    life = _content(octets, at, _SEQUENCE)
    if not octets.startswith(_NO_SUBJECT_P256, life[1]):
        return None
    at = life[1] + len(_NO_SUBJECT_P256)
    point = at, at + 2 * _COORDINATE
    at = octets.find(_IDENTIFIER, point[1])
    identifier = at + len(_IDENTIFIER), at + len(_IDENTIFIER) + _SHA1
    alternative = octets.find(_ALTERNATIVE_NAME, identifier[1])
    if min(at, alternative) < 0:
        return None
    at, _ = _content(octets, alternative + len(_ALTERNATIVE_NAME), _OCTET_STRING)
    return [serial, life, point, identifier, _content(octets, at, _SEQUENCE)]


def check_leaf(
    octets: bytes, issuer: x509.Certificate, whole: Callable[[], None]
) -> None:
    """Judge the `whole` of it, or what differs if all else was judged before.

    Raises:
        LintError: as `lint.check_certificate`.
    """
    leaf = take_apart(octets)
    if leaf is not None and (leaf.rest, issuer) in _KNOWN:
        check_places(leaf, issuer)
        return
    whole()
    if leaf is not None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[leaf.rest, issuer] = None


def check_places(leaf: Leaf, issuer: x509.Certificate) -> None:
    """Judge what differs in a certificate whose rest is as it has to be.

    Raises:
        LintError: as `lint.check_certificate`.
    """
    number = int.from_bytes(leaf.serial, signed=True)
    check_serial(number)
    if len(leaf.serial) != number.bit_length() // 8 + 1:
        raise LintError("serial", "longer than its number")
    _check_life(leaf.life, issuer)
    _check_point(leaf.point)
    bits = b"\x04" + leaf.point
    if leaf.identifier != sha1(bits, usedforsecurity=False).digest():
        raise LintError("key_identifiers", "the subject's is not that of its key")
    _check_names(leaf.names, issuer)


def _check_point(point: bytes) -> None:
    """Check that it lies on P-256 (SP 800-186, section 3.2.1.3)."""
    x, y = int.from_bytes(point[:_COORDINATE]), int.from_bytes(point[_COORDINATE:])
    if max(x, y) >= _PRIME or (y * y - x * x * x + 3 * x - _B) % _PRIME:
        raise LintError("key", "not on P-256")


@lru_cache(maxsize=64)  # a batch has one moment and few lifetimes
def _check_life(life: bytes, issuer: x509.Certificate) -> None:
    try:
        begins, at = _moment(life, 0)
        ends, at = _moment(life, at)
    except (IndexError, ValueError) as error:
        raise LintError("life", "not two moments of UTCTime") from error
    if at != len(life):
        raise LintError("life", "more than two moments")
    check_life(begins, ends, issuer)


def _moment(octets: bytes, at: int) -> tuple[datetime, int]:
    begin, end = _content(octets, at, _UTC_TIME)
    text = octets[begin:end].decode("ascii")
    moment = datetime.strptime(f"20{text}", "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
    if f"{moment:%y%m%d%H%M%SZ}" != text:
        raise ValueError(text)
    return moment, end


@lru_cache(maxsize=1024)  # who renews asks for the same names again
def _check_names(octets: bytes, issuer: x509.Certificate) -> None:
    found: dict[int, list[str]] = {_DNS_NAME: [], _URI: []}
    at = 0
    try:
        while at < len(octets):
            tag = octets[at]
            begin, at = _content(octets, at, tag)
            found[tag].append(octets[begin:at].decode("ascii"))
        (uri,) = found[_URI]
        names = Names(SpiffeId.parse(uri), tuple(map(DnsName, found[_DNS_NAME])))
    except (IndexError, KeyError, ValueError, IdentityError) as error:
        raise LintError("names", f"not one SPIFFE ID and DNS names: {error}") from error
    check_names(names, issuer)


def _content(octets: bytes, at: int, tag: int) -> tuple[int, int]:
    """Return where the content of the value at a place begins and ends.

    Raises:
        IndexError: there is none of this type, it reaches outside, or its length is
            not written as DER demands.
    """
    length, begin = octets[at + 1], at + 2
    if length >= _LONG:
        size = length - _LONG
        length = int.from_bytes(octets[begin : begin + size])
        begin += size
        if length < _LONG or (length.bit_length() + 7) // 8 != size:
            raise IndexError
    end = begin + length
    if octets[at] != tag or end > len(octets):
        raise IndexError
    return begin, end
