"""A signed answer about a token, verified (RFC 9701, section 5; RFC 7662).

The gateway's `introspector` asks and calls `verify_answer`:

1. Signature by a key of the token service, and type (sections 5 and 8.1): an access
   token, signed by the same key, is no answer.
2. Issuer and audience, compared as text: given by the token service, to us.
3. `iat` is of this moment. What was true of a token a while ago says nothing now.
4. `token_introspection` says `active`, true or false and nothing else; if true, it
   holds the claims of an access token (RFC 7662, section 2.2).

Not proved here: which token was asked about. The answer does not name it (and must not,
section 8.2); that it belongs to the question, the TLS connection says on which both
went. Nor that the caller holds the token: that is `binding`.
"""

from datetime import datetime, timedelta

from joserfc.jwk import ECKey

from services.proof.access_token import AccessToken, check_times, read_claims
from services.proof.errors import (
    MalformedTokenError,
    MissingClaimError,
    SignatureError,
    UnknownKeyError,
    WrongTypeError,
)
from services.proof.introspection_errors import (
    AnswerAudienceError,
    AnswerIssuerError,
    AnswerKeyError,
    AnswerTypeError,
    InactiveTokenError,
    MalformedAnswerError,
    StaleAnswerError,
)
from services.proof.jws import SignedClaims, UnverifiedToken, parse, verify
from services.proof.numeric_date import moment

MEDIA_TYPE = "application/token-introspection+jwt"  # RFC 9701, section 4
_TYPE = "token-introspection+jwt"
# As for tokens (FAPI 2.0, section 5.3.2.1): either clock may be wrong by as much.
_AGE = timedelta(seconds=10)


def parse_answer(text: str) -> UnverifiedToken:
    """Read the header of an answer.

    Raises:
        MalformedAnswerError: it is no JWT.
        AnswerKeyError: it names no key.
    """
    try:
        return parse(text)
    except UnknownKeyError as error:
        raise AnswerKeyError(str(error)) from None
    except MalformedTokenError as error:
        raise MalformedAnswerError(str(error)) from None


def verify_answer(
    answer: UnverifiedToken, key: ECKey, *, issuer: str, audience: str, now: datetime
) -> AccessToken:
    """Return the token that `answer` says is active; the steps stand above.

    Args:
        answer: what `parse_answer` returned.
        key: the published key that it names.
        issuer: the token service that was asked.
        audience: who asked.
        now: the present.

    Raises:
        IntrospectionError: the subclass says which step refused.
        InvalidTokenError: the answer is good, and the token is not.
    """
    claims = _signed(answer, key)  # 1
    if claims.get("iss") != issuer:  # 2
        raise AnswerIssuerError(f"by {claims.get('iss')!r}, expected {issuer!r}")
    if claims.get("aud") != audience:
        raise AnswerAudienceError(f"for {claims.get('aud')!r}, this is {audience!r}")
    try:
        given_at = moment(claims.get("iat"))
    except ValueError as error:
        raise MalformedAnswerError(f"iat is {error}") from None
    if abs(now - given_at) > _AGE:  # 3
        raise StaleAnswerError(f"given at {given_at.isoformat()}")
    token = _active(claims.get("token_introspection"))  # 4
    check_times(token, now)
    return token


def _signed(answer: UnverifiedToken, key: ECKey) -> SignedClaims:
    try:
        return verify(answer, key, types=frozenset({_TYPE}))
    except SignatureError as error:
        raise AnswerKeyError(str(error)) from None
    except WrongTypeError as error:
        raise AnswerTypeError(str(error)) from None
    except MalformedTokenError as error:
        raise MalformedAnswerError(str(error)) from None


def _active(members: object) -> AccessToken:
    active = members.get("active") if isinstance(members, dict) else None
    if not isinstance(members, dict) or not isinstance(active, bool):
        raise MalformedAnswerError("token_introspection does not say active or not")
    if not active:
        raise InactiveTokenError("the token service says: not active")
    try:
        return read_claims(members)
    except MissingClaimError as error:
        raise MalformedAnswerError(f"an active token, of which {error}") from None
