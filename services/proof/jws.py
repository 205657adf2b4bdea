"""Open a JWS in compact form, strictly (RFC 7515; RFC 8725).

`parse` reads the header of a token nobody has checked yet, so that a caller can look
up the key it names; `verify` then proves that this key signed it. Signing algorithms
are a table bound to the kind of key, never what the token says it wants. A JWS that
names no key, because it carries its own, is read with `read` (`dpop`).

Only the signature is proved here: what the claims must hold is for `access_token`.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NewType

from joserfc import jws
from joserfc.errors import JoseError

from services.jwk import PublicKey
from services.proof.errors import (
    MalformedTokenError,
    SignatureError,
    UnknownKeyError,
    WrongTypeError,
)

ALGORITHMS = ("ES256",)  # FAPI 2.0, section 5.4.1, allows it; all our keys are P-256
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
LONGEST = 8192  # characters; uvicorn's parsers allow far more in a header

# The library's word for which algorithms, header members and sizes are taken.
TOKENS = jws.JWSRegistry(algorithms=ALGORITHMS)

SignedClaims = NewType("SignedClaims", dict[str, Any])


@dataclass(frozen=True, slots=True)
class UnverifiedJws:
    """A JWS whose signature nobody has checked: trust nothing in it."""

    text: str
    unverified_header: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UnverifiedToken(UnverifiedJws):
    """An unverified JWS that names the key it wants to be checked with."""

    key_id: str


def parse(text: str) -> UnverifiedToken:
    """Read the header of `text`, which names a key.

    Raises:
        MalformedTokenError: as `read`.
        UnknownKeyError: the header names no key.
    """
    header = read(text).unverified_header
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise UnknownKeyError("the header names no key")
    return UnverifiedToken(text, header, key_id)


def read(text: str, *, registry: jws.JWSRegistry = TOKENS) -> UnverifiedJws:
    """Read the header of `text`.

    Raises:
        MalformedTokenError: too long, no compact JWS, a header that is no strict JSON
            object, or any critical extension (none is understood, so RFC 7515,
            section 4.1.11, says to refuse).
    """
    _check_form(text)
    try:
        raw = jws.extract_compact(text.encode("ascii"), registry=registry)
        octets, *_ = [_decoded(part) for part in text.split(".")]
        header = _strict_object(octets)
    except (JoseError, ValueError, RecursionError) as error:
        raise MalformedTokenError(f"unreadable token: {type(error).__name__}") from None
    if header != raw.protected:  # pragma: no cover - two readings of the same bytes
        raise MalformedTokenError("header reads in two ways")
    if "crit" in header or "b64" in header:
        raise MalformedTokenError("critical header extensions are not understood")
    return UnverifiedJws(text, header)


def _check_form(text: str) -> None:
    if len(text) > LONGEST:
        raise MalformedTokenError(f"token longer than {LONGEST} characters")
    # joserfc's base64 decoder skips characters outside the alphabet; one token would
    # then have many spellings.
    if not _COMPACT.fullmatch(text):
        raise MalformedTokenError("not three base64url parts")


def unverified_claims(token: UnverifiedJws) -> Mapping[str, Any]:
    """Return what `token` claims, for who must know it to find the key.

    Raises:
        MalformedTokenError: the payload is no strict JSON object.
    """
    return _payload(_decoded(token.text.split(".")[1]))


def verify(
    token: UnverifiedJws,
    key: PublicKey,
    *,
    types: frozenset[str],
    registry: jws.JWSRegistry = TOKENS,
) -> SignedClaims:
    """Return the claims of `token`, signed by `key` as one of `types`.

    Args:
        token: what `parse` or `read` returned.
        key: the public key whose id the token names.
        types: accepted values of `typ`, in lower case, without `application/`.
        registry: the algorithms that belong to the key.

    Raises:
        SignatureError: another algorithm than the key's, or a false signature.
        WrongTypeError: a JWT of another kind (RFC 8725, section 3.11).
        MalformedTokenError: the payload is no strict JSON object.
    """
    payload = _signed_payload(token, key, registry)
    check_type(token, types)
    return SignedClaims(_payload(payload))


def reopen(
    text: str, key: PublicKey, *, algorithm: str, registry: jws.JWSRegistry = TOKENS
) -> SignedClaims:
    """Return the claims of a JWS whose header is one that `verify` has seen before.

    As `read` and `verify`, but for what the header alone decides: it was read then, is
    of an accepted type, and names `algorithm`, which `key` has signed with under it.

    Raises:
        SignatureError: a false signature.
        MalformedTokenError: no compact JWS, or the payload is no strict JSON object.
    """
    _check_form(text)
    signed, _, signature = text.rpartition(".")
    try:
        octets, payload = _decoded(signature), _decoded(signed.partition(".")[2])
        registry.validate_signature_size(signature.encode("ascii"))
    except (JoseError, ValueError) as error:
        raise MalformedTokenError(f"unreadable token: {type(error).__name__}") from None
    try:
        good = registry.get_alg(algorithm).verify(signed.encode("ascii"), octets, key)
    except (JoseError, ValueError) as error:
        raise SignatureError(f"signature: {type(error).__name__}") from None
    if not good:
        raise SignatureError("signature: of another key")
    return SignedClaims(_payload(payload))


def verify_untyped(
    token: UnverifiedJws, key: PublicKey, *, registry: jws.JWSRegistry
) -> SignedClaims:
    """Return the claims of `token`, signed by `key` as whatever it says it is.

    Only for kinds of JWT that may come without a type, and then never by a key that
    signs another kind, too; if there is a type, `check_type` is the caller's to call.

    Raises:
        SignatureError: another algorithm than the key's, or a false signature.
        MalformedTokenError: the payload is no strict JSON object.
    """
    return SignedClaims(_payload(_signed_payload(token, key, registry)))


def check_type(token: UnverifiedJws, types: frozenset[str]) -> None:
    """Return if `token` says to be one of `types`, written as `verify` wants them.

    Raises:
        WrongTypeError: it says nothing, or something else.
    """
    kind = token.unverified_header.get("typ")
    if not isinstance(kind, str) or _short(kind) not in types:
        raise WrongTypeError(f"typ is {kind!r}, expected one of {sorted(types)}")


def _signed_payload(
    token: UnverifiedJws, key: PublicKey, registry: jws.JWSRegistry
) -> bytes:
    try:
        return jws.deserialize_compact(token.text, key, registry=registry).payload
    except (JoseError, ValueError) as error:
        raise SignatureError(f"signature: {type(error).__name__}") from None


def _payload(octets: bytes) -> dict[str, Any]:
    try:
        return _strict_object(octets)
    except (ValueError, RecursionError) as error:
        raise MalformedTokenError(f"payload: {type(error).__name__}") from None


def _short(kind: str) -> str:
    """Return a media type in lower case, its prefix left out (RFC 7515, 4.1.9)."""
    return kind.lower().removeprefix("application/")


def _decoded(part: str) -> bytes:
    """Return the octets of `part`, whose alphabet has been checked.

    The last character may hold bits that encode nothing; only unset ones are taken
    (RFC 4648, section 3.5), since a changed token should never pass for the old one.
    """
    octets = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    if urlsafe_b64encode(octets).rstrip(b"=").decode() != part:
        raise ValueError("spare bits are set")
    return octets


def _strict_object(data: bytes) -> dict[str, Any]:
    """Parse a JSON object in UTF-8 with no member twice (RFC 8725, section 3.7)."""
    value = _STRICT.decode(data.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one error for bad JSON
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member appears twice")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


# One for all: `json.loads` would make another each time.
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
