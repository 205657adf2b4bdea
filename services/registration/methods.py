"""How a client is registered: the methods that it may authenticate by.

A registration names exactly one method (RFC 8705, sections 2.1 and 2.2; RFC 7523,
section 2.2; draft-ietf-oauth-spiffe-client-auth for `spiffe_x509`). What is wrong with
it is found when it is read, and `config` says at which member; the keys behind a
`jwks_uri` pass through the same checks, in `token.client_keys`, whenever they are read.

Nothing is proved here about who calls.
"""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from msgspec import Meta

from services.jwk import JwkError, check_public
from services.registration.key import RegisteredKey, certified_key, signature_key
from services.registration.terms import Text, Url

MOST_KEYS = 20  # of one client: each may have to be tried on an assertion
_ATTRIBUTES = ("subject_dn", "san_dns", "san_uri", "san_ip", "san_email")


class SubjectMatch(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """The one attribute that names a client's certificate (RFC 8705, 2.1.2)."""

    subject_dn: Text | None = None
    san_dns: Text | None = None
    san_uri: Text | None = None
    san_ip: Text | None = None
    san_email: Text | None = None
    # Whose trust bundle the certificate must chain to; None: that of our own domain.
    trust_domain: Text | None = None

    def __post_init__(self) -> None:
        given = [name for name in _ATTRIBUTES if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"exactly one attribute names a client, got {given}")
        if self.san_ip is not None:
            ip_address(self.san_ip)
        if self.subject_dn is not None:
            x509.Name.from_rfc4514_string(self.subject_dn)

    @property
    def attribute(self) -> tuple[str, str]:
        """The attribute's name and the value registered for it."""
        return next(
            (name, value) for name in _ATTRIBUTES if (value := getattr(self, name))
        )


class Jwks(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JWKS that is part of a registration (RFC 7517, section 5)."""

    keys: Annotated[tuple[dict[str, Any], ...], Meta(min_length=1)]


class KeySource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of a client: said here, or published by it where it may change them."""

    jwks: Jwks | None = None
    jwks_uri: Url | None = None
    # For `jwks_uri`: the roots of its server, a file (None: those this machine trusts),
    # and the networks beside the public Internet that it may be in.
    trust_bundle: Path | None = None
    networks: tuple[Text, ...] = ()

    def __post_init__(self) -> None:
        if (self.jwks is None) == (self.jwks_uri is None):
            raise ValueError("exactly one of jwks and jwks_uri is needed")
        if self.jwks_uri is None and (self.trust_bundle or self.networks):
            raise ValueError("trust_bundle and networks belong to a jwks_uri")
        for network in self.networks:
            ip_network(network)
        where = urlsplit(self.jwks_uri or "")
        if self.jwks_uri and (not where.hostname or "@" in where.netloc):
            raise ValueError("jwks_uri: expected a host and no user")
        _ = where.port  # or a ValueError
        try:
            self.registered()
        except JwkError as error:
            raise ValueError(f"jwks: {error}") from None

    def registered(self) -> tuple[RegisteredKey, ...]:
        """Return the keys that are said here, none if they are behind a URI."""
        if self.jwks is None:
            return ()
        keys = tuple(self.read(member) for member in self.jwks.keys)
        _check_number(keys)
        return keys

    def published(self, document: bytes) -> tuple[RegisteredKey, ...]:
        """Return the usable keys of a JWKS that the client publishes.

        Those of other kinds, and for other uses, are left out: others may have a use
        for them (RFC 7517, section 5).

        Raises:
            JwkError: it is no JWKS, has a private key in it, or far too many keys.
        """
        keys = []
        for member in _members(document):
            check_public(member)
            try:
                keys.append(self.read(member))
            except JwkError:
                continue
        _check_number(keys)
        return tuple(keys)

    def read(self, member: Mapping[str, Any]) -> RegisteredKey:
        """Return the key that `member` is; overridden by each method."""
        raise NotImplementedError


class PrivateKeyJwt(KeySource, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client that signs assertions (RFC 7523, section 2.2)."""

    def read(self, member: Mapping[str, Any]) -> RegisteredKey:
        """Return a key to check assertions with.

        Raises:
            JwkError: it is none, or one for another use or algorithm.
        """
        key = signature_key(member)
        if member.get("alg", key.algorithm) != key.algorithm:
            raise JwkError(f"alg is not {key.algorithm}, which belongs to the key")
        return key


class SelfSigned(KeySource, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client known by the whole of a certificate (RFC 8705, section 2.2)."""

    def read(self, member: Mapping[str, Any]) -> RegisteredKey:
        """Return a key with its certificate, which can sign no other.

        Raises:
            JwkError: it has no certificate, that of another key, or one that could
                act as a CA.
        """
        return certified_key(member)


class SpiffeX509(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A client whose id is the SPIFFE ID of its certificate; nothing more to say."""


Method = SubjectMatch | SelfSigned | PrivateKeyJwt | SpiffeX509


def _members(document: bytes) -> Sequence[dict[str, Any]]:
    try:
        return msgspec.json.decode(document, type=_Published).keys
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise JwkError("no JWKS") from None


class _Published(msgspec.Struct):
    """A JWKS with whatever else its publisher has to say."""

    keys: list[dict[str, Any]]


def _check_number(keys: Sequence[object]) -> None:
    if len(keys) > MOST_KEYS:
        raise JwkError(f"{len(keys)} keys, more than {MOST_KEYS}")
