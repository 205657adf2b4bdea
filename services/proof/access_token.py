"""What an access token says, and the proof that the token service said it (RFC 9068).

`AccessToken` is built by `verify_access_token` alone: whoever holds one holds claims
that were signed, for this audience, now. The token service builds the same claims with
`claims_for`, so that the two sides cannot drift apart.

Not proved here: that the caller is the client the token was issued to. That is
`binding`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from joserfc.jwk import ECKey

from services.proof.binding import CONFIRMATION
from services.proof.errors import (
    ExpiredTokenError,
    MissingClaimError,
    NotYetValidError,
    WrongAudienceError,
    WrongIssuerError,
)
from services.proof.jws import UnverifiedToken, verify
from services.proof.numeric_date import moment

TYPE = "at+jwt"  # RFC 9068, section 2.1
_TYPES = frozenset({TYPE})
ACTOR = "act"  # RFC 8693, section 4.1
MAY_ACT = "may_act"  # RFC 8693, section 4.4
# A clock may be this far behind the token service's. FAPI 2.0, section 5.3.2.1, wants
# 10 s accepted and more than 60 s refused. For the end of a token there is no grace.
SKEW = timedelta(seconds=10)


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """The verified claims of one access token."""

    issuer: str
    audience: str
    subject: str
    client_id: str
    scopes: frozenset[str]
    issued_at: datetime
    expires_at: datetime
    token_id: str
    confirmation: Mapping[str, object] | None
    actor: Mapping[str, object] | None = None  # who acts for the subject (RFC 8693)
    may_act: Mapping[str, object] | None = None  # who alone may do so (RFC 8693, 4.4)


@dataclass(frozen=True, slots=True)
class Opened:
    """What a signed token says, of whatever time and for whomever."""

    token: AccessToken
    not_before: datetime | None


def claims_for(token: AccessToken) -> dict[str, Any]:
    """Return the claims to sign for `token` (RFC 9068, section 2.2)."""
    claims: dict[str, Any] = {
        "iss": token.issuer,
        "aud": token.audience,
        "sub": token.subject,
        "client_id": token.client_id,
        "scope": " ".join(sorted(token.scopes)),
        "iat": int(token.issued_at.timestamp()),
        "exp": int(token.expires_at.timestamp()),
        "jti": token.token_id,
    }
    if token.confirmation is not None:
        claims[CONFIRMATION] = dict(token.confirmation)
    if token.actor is not None:
        claims[ACTOR] = dict(token.actor)
    if token.may_act is not None:
        claims[MAY_ACT] = dict(token.may_act)
    return claims


def open_token(token: UnverifiedToken, key: ECKey) -> Opened:
    """Return what `key` has signed, a matter of the bytes alone.

    Raises:
        InvalidTokenError: signature, type or a claim is not as it must be.
    """
    claims = verify(token, key, types=_TYPES)
    not_before = _moment(claims, "nbf") if "nbf" in claims else None
    return Opened(read_claims(claims), not_before)


def verify_access_token(  # noqa: PLR0913 - each is told apart by its name
    token: UnverifiedToken,
    key: ECKey,
    *,
    issuer: str,
    audience: str | None,
    now: datetime,
    opener: Callable[[UnverifiedToken, ECKey], Opened] = open_token,
) -> AccessToken:
    """Return the access token that `token` proves to be (RFC 9068, section 4).

    1. Signature and type (RFC 9068, section 4; RFC 8725, section 3.11), and all
       required claims, each of its type (section 2.2): `open_token`, or one that
       remembers what it has found (`opened`).
    2. Issuer, compared as text (section 4).
    3. Audience: exactly the one asked for (section 4; RFC 8707, section 2.2).
    4. Times (section 4).

    Only the token service itself gives no `audience`: it asks what a token is, and
    decides afterwards for whom.

    Raises:
        InvalidTokenError: the subclass says which of these does not hold.
    """
    opened = opener(token, key)  # 1
    verified = opened.token
    if verified.issuer != issuer:  # 2
        raise WrongIssuerError(f"issued by {verified.issuer!r}, expected {issuer!r}")
    if audience is not None and verified.audience != audience:  # 3
        raise WrongAudienceError(f"for {verified.audience!r}, this is {audience!r}")
    check_times(verified, now)  # 4
    if opened.not_before is not None and opened.not_before > now + SKEW:
        raise NotYetValidError(f"not valid before {opened.not_before.isoformat()}")
    return verified


def read_claims(claims: Mapping[str, Any]) -> AccessToken:
    """Return what `claims` say, for one who has them from a trusted source.

    Raises:
        MissingClaimError: one is absent or of another type.
    """
    return AccessToken(
        issuer=_text(claims, "iss"),
        audience=_audience(claims),
        subject=_text(claims, "sub"),
        client_id=_text(claims, "client_id"),
        scopes=frozenset(_text(claims, "scope").split(" ")),
        issued_at=_moment(claims, "iat"),
        expires_at=_moment(claims, "exp"),
        token_id=_text(claims, "jti"),
        confirmation=_object(claims, CONFIRMATION),
        actor=_object(claims, ACTOR),
        may_act=_object(claims, MAY_ACT),
    )


def check_times(token: AccessToken, now: datetime) -> None:
    """Return if `token` is in time.

    Raises:
        ExpiredTokenError: its time is over.
        NotYetValidError: it begins later than a clock's error can explain.
    """
    if now >= token.expires_at:
        raise ExpiredTokenError(f"expired at {token.expires_at.isoformat()}")
    if token.issued_at > now + SKEW:
        raise NotYetValidError(f"issued at {token.issued_at.isoformat()}")


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not value:
        raise MissingClaimError(f"{name} is no text")
    return value


def _audience(claims: Mapping[str, Any]) -> str:
    """Return the only audience, written as a text or as an array of one."""
    value = claims.get("aud")
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str) or not value:
        raise MissingClaimError("aud is not exactly one audience")
    return value


def _moment(claims: Mapping[str, Any], name: str) -> datetime:
    """Return a NumericDate (RFC 7519, section 2) as a moment in UTC."""
    try:
        return moment(claims.get(name))
    except ValueError as error:
        raise MissingClaimError(f"{name} is {error}") from None


def _object(claims: Mapping[str, Any], name: str) -> Mapping[str, object] | None:
    """Return a claim that is an object if it is there at all."""
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, dict):
        raise MissingClaimError(f"{name} is no object")
    return value
