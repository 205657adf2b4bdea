"""Check that a client has signed an assertion about itself (RFC 7523; FAPI 2.0, 5.3.2).

`authentication` calls `read_assertion`, which says whose keys are needed, and then
`verify_assertion` with those of the client. The steps:

1. A compact JWS of strict JSON without critical extensions (`proof.jws`).
2. `alg` is one of ours, and so belongs to one kind of key (RFC 8725, section 3.1).
3. `typ`, if there is one, is that of a JWT for this purpose (section 3.11).
4. A key of the client's fits algorithm and `kid`, and has signed it. `kid` chooses and
   proves nothing; two keys of one id are told apart by their kinds, or both are tried
   (FAPI 2.0, section 5.4.3). What the header says of other places (`jku`, `x5u`, `jwk`)
   is not followed.
5. `iss` and `sub` are the client (RFC 7523, section 3).
6. `aud` is the issuer, as a text. An array, or the token endpoint, could be meant for
   somebody else as well, who would then use it here (CVE-2025-27370; FAPI 2.0).
7. `exp` is to come, and soon; `iat` and `nbf`, if there, are not ahead by more than
   `SKEW`, which is between the 10 seconds and the 60 of FAPI 2.0.
8. `jti` is there.

Not proved: that it comes for the first time, which the caller claims in the store; and
that the certificate of the connection is the client's, which is another method.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from joserfc.jws import JWSRegistry

from services.jwk import SIGNING_ALGORITHMS
from services.proof import jws
from services.proof.access_token import SKEW
from services.proof.errors import MalformedTokenError, SignatureError, WrongTypeError
from services.proof.numeric_date import moment
from services.registration.key import RegisteredKey
from services.token.assertion_errors import (
    AssertionAlgorithmError,
    AssertionAudienceError,
    AssertionClaimError,
    AssertionKeyError,
    AssertionKindError,
    AssertionSignatureError,
    AssertionSubjectError,
    ExpiredAssertionError,
    FutureAssertionError,
    LongAssertionError,
    MalformedAssertionError,
)

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # RFC 7523, 2.2
# `JWT` is what most libraries write, the other what the revision of RFC 7523 wants.
_KINDS = frozenset({"jwt", "client-authentication+jwt"})
# An assertion is made for one request; some libraries allow it an hour all the same.
LONGEST_LIFE = timedelta(hours=1)
_TOKEN_ID = re.compile(r"[!-~]{1,256}")

_ANY = JWSRegistry(algorithms=list(SIGNING_ALGORITHMS), strict_check_header=False)
_REGISTRIES = {
    name: JWSRegistry(algorithms=[name], strict_check_header=False)
    for name in SIGNING_ALGORITHMS
}


@dataclass(frozen=True, slots=True)
class UnverifiedAssertion:
    """An assertion nobody has checked: it says whose keys to check it with."""

    jws: jws.UnverifiedJws
    algorithm: str
    key_id: str | None
    unverified_subject: str


@dataclass(frozen=True, slots=True)
class Assertion:
    """A verified assertion, not yet known to be the first of its kind."""

    token_id: str
    expires_at: datetime


def read_assertion(text: str) -> UnverifiedAssertion:
    """Read the assertion `text`, to know whose it says to be.

    Raises:
        AssertionRefusedError: steps 1 to 3, or there is no subject.
    """
    try:
        unverified = jws.read(text, registry=_ANY)  # 1
        claims = jws.unverified_claims(unverified)
        header = unverified.unverified_header
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in SIGNING_ALGORITHMS:  # 2
            raise AssertionAlgorithmError(f"alg is {algorithm!r}")
        if "typ" in header:  # 3
            jws.check_type(unverified, _KINDS)
    except MalformedTokenError as error:
        raise MalformedAssertionError(str(error)) from None
    except WrongTypeError as error:
        raise AssertionKindError(str(error)) from None
    if key_id is not None and not isinstance(key_id, str):
        raise MalformedAssertionError("kid is no text")
    return UnverifiedAssertion(unverified, algorithm, key_id, _text(claims, "sub"))


def verify_assertion(
    unverified: UnverifiedAssertion,
    keys: Iterable[RegisteredKey],
    *,
    client_id: str,
    issuer: str,
    now: datetime,
) -> Assertion:
    """Return the assertion that `unverified` is; the steps stand at the module's head.

    Args:
        unverified: what `read_assertion` returned.
        keys: the client's.
        client_id: the client's id.
        issuer: this token service, as the client is to call it.
        now: the present.

    Raises:
        AssertionRefusedError: the subclass says which step refused.
    """
    claims = _signed(unverified, keys)  # 4
    if not _text(claims, "iss") == _text(claims, "sub") == client_id:  # 5
        raise AssertionSubjectError(f"iss and sub are not both {client_id!r}")
    if claims.get("aud") != issuer:  # 6
        raise AssertionAudienceError("aud is not this issuer, as a text")
    expires_at = _checked_times(claims, now)  # 7
    token_id = _text(claims, "jti")  # 8
    if not _TOKEN_ID.fullmatch(token_id):
        raise AssertionClaimError("jti is not 1 to 256 visible ASCII characters")
    return Assertion(token_id, expires_at)


def _signed(
    unverified: UnverifiedAssertion, keys: Iterable[RegisteredKey]
) -> Mapping[str, Any]:
    fitting = [
        key.key
        for key in keys
        if key.algorithm == unverified.algorithm
        and (key.key_id == unverified.key_id or None in (key.key_id, unverified.key_id))
    ]
    if not fitting:
        raise AssertionKeyError(f"no {unverified.algorithm} key of that id")
    registry = _REGISTRIES[unverified.algorithm]
    for key in fitting:
        try:
            return jws.verify_untyped(unverified.jws, key, registry=registry)
        except SignatureError:
            continue
    raise AssertionSignatureError(f"none of {len(fitting)} fitting keys has signed it")


def _checked_times(claims: Mapping[str, Any], now: datetime) -> datetime:
    """Return when the assertion ends, if it is good now."""
    expires_at = _moment(claims, "exp")
    if now >= expires_at:
        raise ExpiredAssertionError(f"expired at {expires_at.isoformat()}")
    if expires_at > now + LONGEST_LIFE + SKEW:
        raise LongAssertionError(f"good until {expires_at.isoformat()}")
    for name in {"iat", "nbf"} & claims.keys():
        begins_at = _moment(claims, name)
        if begins_at > now + SKEW:
            raise FutureAssertionError(f"{name} is {begins_at.isoformat()}")
        if name == "iat" and begins_at < now - LONGEST_LIFE - SKEW:
            raise ExpiredAssertionError(f"issued at {begins_at.isoformat()}")
    return expires_at


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise AssertionClaimError(f"{name} is no text")
    return value


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    try:
        return moment(claims.get(name))
    except ValueError as error:
        raise AssertionClaimError(f"{name} is {error}") from None
