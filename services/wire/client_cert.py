"""The Client-Cert and Client-Cert-Chain fields (RFC 9440, section 2).

`wire.forwarded` reads with this what a trusted hop sends in the form "client-cert". A
library for structured fields (RFC 9651) does the parsing. It must forgive what the
RFCs let it forgive: missing padding, and bits behind the last byte. A certificate that
has two spellings is one that a proxy and its origin can disagree about, so only the
spelling that the library itself would write is taken. No parameters are defined for
these fields, and none are taken.

Nothing is proved about a certificate here but that it is one: whether it is trusted is
for `wire.callers`, whether the sender may name it, for `wire.hops`.
"""

from collections.abc import Mapping

import http_sf
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from services.wire.certificates import from_der
from services.wire.forwarding_errors import (
    ChainAloneError,
    DuplicateFieldError,
    LeafInChainError,
    MalformedFieldError,
    MissingFieldError,
)

FIELD = b"client-cert"
CHAIN = b"client-cert-chain"
FIELDS = frozenset({FIELD, CHAIN})


def unverified_chain(fields: Mapping[bytes, bytes]) -> tuple[x509.Certificate, ...]:
    """Return the certificates that `fields` hold, the caller's own first.

    Args:
        fields: at most one value for each name of `FIELDS`.

    Raises:
        MissingFieldError: there is neither field.
        ChainAloneError: there is a chain and no certificate.
        DuplicateFieldError: Client-Cert is a list.
        MalformedFieldError: a value is no byte sequence, or no certificate is in it.
        LeafInChainError: the chain repeats the certificate.
    """
    if FIELD not in fields:
        if CHAIN in fields:
            raise ChainAloneError("Client-Cert-Chain without Client-Cert")
        raise MissingFieldError("no Client-Cert")
    if b"," in fields[FIELD]:  # no byte sequence has one
        raise DuplicateFieldError("Client-Cert is a list")
    (leaf,) = _certificates(fields[FIELD])
    issuers = _certificates(fields[CHAIN]) if CHAIN in fields else ()
    if leaf in issuers:
        raise LeafInChainError("Client-Cert-Chain holds the certificate of Client-Cert")
    return leaf, *issuers


def written(*certificates: x509.Certificate) -> bytes:
    """Return the value of a field that holds `certificates`: one, or a chain."""
    members = (http_sf.ser(each.public_bytes(Encoding.DER)) for each in certificates)
    return ", ".join(members).encode("ascii")


def _certificates(value: bytes) -> tuple[x509.Certificate, ...]:
    """Return what a list of byte sequences holds; an item is a list of one."""
    try:
        members = http_sf.parse(value, tltype="list")
    except http_sf.StructuredFieldError as error:
        raise MalformedFieldError(f"no structured field: {error}") from error
    found = []
    for member in members if isinstance(members, list) else ():
        der = member[0] if isinstance(member, tuple) else None
        if not isinstance(der, bytes):
            raise MalformedFieldError("a member is no byte sequence")
        found.append(from_der(der))
    spelt = [member.strip(b" \t") for member in value.split(b",")]
    if not found or spelt != [written(certificate) for certificate in found]:
        raise MalformedFieldError("not the canonical spelling of the field")
    return tuple(found)
