"""DER as far as a service's certificate needs it, written and never read (X.690).

`profiles` writes with it what differs from one certificate to the next. What it writes
is read by another hand before it is signed: `lint` parses it with the library.
"""

from datetime import UTC, datetime

SEQUENCE = 0x30
_INTEGER, _BIT_STRING, _OCTET_STRING = 0x02, 0x03, 0x04
_UTC_TIME, _GENERALIZED_TIME = 0x17, 0x18
_SHORT = 0x80  # a length from here on is written as the count of its octets first
_FIRST_GENERALIZED = 2050  # RFC 5280, section 4.1.2.5
_TRUE = b"\x01\x01\xff"


def value(tag: int, *content: bytes) -> bytes:
    """Return a value of a type: its tag, its length, its content."""
    octets = b"".join(content)
    length = len(octets)
    if length < _SHORT:
        return bytes((tag, length)) + octets
    size = (length.bit_length() + 7) // 8
    return bytes((tag, _SHORT | size)) + length.to_bytes(size) + octets


def integer(number: int) -> bytes:
    """Return a number of zero or more; the first bit is its sign."""
    return value(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1))


def bit_string(octets: bytes) -> bytes:
    """Return whole octets as bits, none of which is unused."""
    return value(_BIT_STRING, b"\x00", octets)


def octet_string(octets: bytes) -> bytes:
    """Return octets as a value."""
    return value(_OCTET_STRING, octets)


def moment(at: datetime) -> bytes:
    """Return a moment in whole seconds, with two digits of the year until 2049."""
    at = at.astimezone(UTC)
    if at.year < _FIRST_GENERALIZED:
        return value(_UTC_TIME, f"{at:%y%m%d%H%M%SZ}".encode())
    return value(_GENERALIZED_TIME, f"{at:%Y%m%d%H%M%SZ}".encode())


def extension(oid: bytes, content: bytes, *, critical: bool) -> bytes:
    """Return an extension (RFC 5280, section 4.2); `oid` is in DER already."""
    return value(SEQUENCE, oid, _TRUE if critical else b"", octet_string(content))
