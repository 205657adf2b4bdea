"""The header fields that pass the gateway, inwards and outwards (RFC 9110, 7.6.1).

Inwards, these stay outside, however they are spelt and however often they come:

- what belongs to the connection, and whatever Connection names;
- the caller's credentials: the token is the gateway's to check, not the upstream's to
  hold;
- who the caller is said to be: Client-Cert and its like, and all that proxies say of
  where a request came from. The gateway says that itself, afterwards, so naming its
  field in Connection takes nothing away (measured-facts F6);
- every name with another character than letter, digit and hyphen. `Client_Cert` and
  `Client.Cert` are Client-Cert to some reader.

Outwards, what belongs to the connection, and what an upstream tells the gateway alone.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509

from services.wire import client_cert

Field = tuple[bytes, bytes]

_CONNECTION = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
_CREDENTIALS = frozenset({b"authorization", b"dpop"})
_OURS = frozenset({b"host", b"expect", b"forwarded", b"via", b"certbound-hop-secret"})
# What some proxy or framework takes for the caller's certificate, name or address.
_STATED = re.compile(
    rb"client-cert.*|x-(forwarded|original|client|ssl|real|tls|amzn-mtls)(-.*)?"
    rb"|x-rewrite-url|x-http-method(-override)?|x-method-override"
    rb"|(ssl|tls)-.*|true-client-ip|remote-user"
)
_PLAIN = re.compile(rb"[a-z0-9-]+")
# The upstream speaks to the gateway here, or uvicorn says it itself.
_INSIDE = frozenset(
    {b"authentication-info", b"dpop-nonce", b"www-authenticate", b"date", b"server"}
)


class Parted(NamedTuple):
    """The fields that pass, and the names of those that state who calls."""

    passing: list[Field]
    forged: list[str]


def inwards(headers: Iterable[Field]) -> Parted:
    """Return what of a caller's fields goes on to the upstream."""
    fields = [(name.lower(), value) for name, value in headers]
    stopped = _CONNECTION | _CREDENTIALS | _OURS | _named(fields)
    passing: list[Field] = []
    forged: list[str] = []
    for name, value in fields:
        if not _PLAIN.fullmatch(name) or _STATED.fullmatch(name):
            forged.append(name.decode("latin-1"))
        elif name not in stopped:
            passing.append((name, value))
    return Parted(passing, forged)


def outwards(headers: Iterable[Field]) -> list[Field]:
    """Return what of an upstream's fields goes back to the caller."""
    fields = [(name.lower(), value) for name, value in headers]
    stopped = _CONNECTION | _INSIDE | _CREDENTIALS | _named(fields)
    return [
        (name, value)
        for name, value in fields
        if name not in stopped and not name.startswith(b"client-cert")
    ]


def stated(leaf: x509.Certificate, issuers: Iterable[x509.Certificate]) -> list[Field]:
    """Return the gateway's own statement of who calls (RFC 9440, section 2)."""
    fields = [(client_cert.FIELD, client_cert.written(leaf))]
    if chain := client_cert.written(*issuers):
        fields.append((client_cert.CHAIN, chain))
    return fields


def _named(fields: Iterable[Field]) -> frozenset[bytes]:
    """Return the fields that Connection names as its own."""
    return frozenset(
        option.strip().lower()
        for name, value in fields
        if name == b"connection"
        for option in value.split(b",")
    )
