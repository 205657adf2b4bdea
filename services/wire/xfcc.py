"""Envoy's x-forwarded-client-cert field, as SANITIZE_SET writes it.

`wire.forwarded` reads with this what a trusted hop sends in the form "xfcc". The field
is a list of elements, one a proxy; an element has pairs `Key=value` between semicolons,
and a value with commas, semicolons or equals signs stands in quotes. Here one element
is taken, because a second one means that somebody before the trusted hop was believed.

It must have `Cert`, the PEM form in URL encoding, and `Hash`, the SHA-256 of the DER
form in hex, which must be that certificate's. `Chain`, if there is one, begins with the
certificate. The names in `By`, `URI`, `DNS` and `Subject` are not read: the certificate
says its own. There is no library for this form; what it may look like is little enough.

Nothing is proved about a certificate here but that it is one, as in `wire.client_cert`.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote_to_bytes

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from services.wire.certificates import from_pem
from services.wire.forwarding_errors import (
    DuplicateFieldError,
    MalformedFieldError,
    MissingFieldError,
    WrongHashError,
)

FIELD = b"x-forwarded-client-cert"
FIELDS = frozenset({FIELD})

_PAIR = re.compile(rb'([A-Za-z]+)=("(?:[^"\\]|\\.)*"|[^",;]*)')
_ONCE = frozenset({b"Hash", b"Cert", b"Chain"})
_UNREAD = frozenset({b"By", b"URI", b"DNS", b"Subject"})


def unverified_chain(fields: Mapping[bytes, bytes]) -> tuple[x509.Certificate, ...]:
    """Return the certificates that `fields` hold, the caller's own first.

    Args:
        fields: at most one value for each name of `FIELDS`.

    Raises:
        MissingFieldError: there is no field, or `Cert` or `Hash` is not in it.
        DuplicateFieldError: it has two elements, or one key twice.
        MalformedFieldError: it is not of the form, or no certificate is in it.
        WrongHashError: `Hash` is not that of the certificate.
    """
    if FIELD not in fields:
        raise MissingFieldError("no x-forwarded-client-cert")
    element = _element(fields[FIELD])
    if missing := {b"Cert", b"Hash"} - element.keys():
        raise MissingFieldError(f"no {b' and '.join(sorted(missing)).decode()}")
    (leaf,) = _certificates(element[b"Cert"], most=1)
    if element[b"Hash"] != leaf.fingerprint(SHA256()).hex().encode():
        raise WrongHashError("Hash is not that of Cert")
    if b"Chain" not in element:
        return (leaf,)
    chain = _certificates(element[b"Chain"])
    if chain[0] != leaf:
        raise MalformedFieldError("Chain does not begin with Cert")
    return chain


def _element(value: bytes) -> dict[bytes, bytes]:
    element: dict[bytes, bytes] = {}
    for key, text in _pairs(value):
        if key not in _ONCE | _UNREAD:
            raise MalformedFieldError("a key that Envoy does not write")
        if key in _ONCE and key in element:
            raise DuplicateFieldError(f"{key.decode()} twice")
        quoted = text.startswith(b'"')
        element[key] = text[1:-1] if quoted else text
    return element


def _pairs(value: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of the one element, in order."""
    position = 0
    while pair := _PAIR.match(value, position):
        yield pair[1], pair[2]
        position = pair.end()
        if position == len(value):
            return
        if value[position : position + 1] == b",":
            raise DuplicateFieldError("more than one element")
        if value[position : position + 1] != b";":
            break
        position += 1
    raise MalformedFieldError(f"no pair at position {position}")


def _certificates(
    encoded: bytes, *, most: int | None = None
) -> tuple[x509.Certificate, ...]:
    """Return the certificates of a PEM text in URL encoding, in its one spelling."""
    found = from_pem(unquote_to_bytes(encoded))
    if most is not None and len(found) > most:
        raise DuplicateFieldError("Cert holds more than one certificate")
    return tuple(found)
