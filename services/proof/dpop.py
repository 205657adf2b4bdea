"""Check that a request was made by the holder of a key (DPoP; RFC 9449, section 4.3).

The token endpoint and the resource services call `proof_header` and then
`verify_proof`; whoever holds a `DpopProof` holds a proof that was signed, by the key of
that thumbprint, for this method, URI and access token, now. The steps, in the RFC's
numbers:

1. One header field at most: `proof_header`.
2. A well-formed JWT: a compact JWS of strict JSON without critical extensions.
3. All required claims, each of its type.
4. `typ` is `dpop+jwt`.
5. `alg` is on our list.
6. The key in the header is of the algorithm's kind, and signed this.
7. That key is a public one.
8. `htm` is the method, letter for letter.
9. `htu` is the URI, both in normal form: `target_uri`.
10. `nonce` is one of ours, where nonces are asked for. There is no falling back to
    proofs without one (section 11.3).
11. `iat` is younger than `MAX_AGE` and not ahead by more than `SKEW`; a good nonce does
    not excuse from this.
12. `ath` is the hash of the access token, where one is presented; without one a claim
    of that name has no meaning and is ignored.

Not proved here:

- that the proof comes for the first time. The caller claims `thumbprint` and `token_id`
  in a replay memory, atomically, and keeps them until `expires_at`; never the text of
  the proof, since an ECDSA signature has a second spelling (r, n - s) that verifies;
- that the access token is bound to this key: `binding.check_holder`;
- who the key belongs to, or what the request's body and other headers say (11.7).
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from services.proof.dpop_errors import (
    ExpiredProofError,
    FutureProofError,
    ManyProofsError,
    MissingProofClaimError,
    NonceRequiredError,
    WrongAccessTokenError,
    WrongMethodError,
    WrongUriError,
)
from services.proof.nonce import NonceVerifier
from services.proof.numeric_date import moment
from services.proof.opened_proof import opened
from services.proof.target_uri import normal_uri

# A proof is made for one request and is not reused: a minute is for slow networks and a
# clock that is late, and keeps the replay memory small (section 11.1).
MAX_AGE = timedelta(seconds=60)
# The caller's clock may be this far ahead, as with tokens (FAPI 2.0, section 5.3.2.1).
SKEW = timedelta(seconds=10)
# Required are 96 random bits or a UUID (section 4.2): 16 and 36 characters. Longer ones
# would only fill the replay memory (section 11.1), and of other characters no encoding
# of random bits makes use, but a log and a database may stumble over them.
_TOKEN_ID = re.compile(r"[!-~]{1,256}")
_FIELD = b"dpop"  # field names have no case (RFC 9110, section 5.1)


@dataclass(frozen=True, slots=True)
class DpopProof:
    """A verified proof, not yet known to be the first of its kind.

    Attributes:
        thumbprint: of the key that signed it (`jkt`; RFC 7638, SHA-256).
        token_id: its `jti`; thumbprint and this together are to be seen once.
        issued_at: when its maker says to have made it.
        expires_at: until then its use has to be remembered; later it is too old even
            for a replica whose clock is late by `SKEW`.
        nonce: the nonce that was checked; None where none is asked for.
    """

    thumbprint: str
    token_id: str
    issued_at: datetime
    expires_at: datetime
    nonce: str | None


def proof_header(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the unverified proof among the ASGI `headers` of a request, if any.

    Raises:
        ManyProofsError: there are two; which of them counts nobody can say.
    """
    fields = [value for name, value in headers if name.lower() == _FIELD]
    if len(fields) > 1:
        raise ManyProofsError(f"{len(fields)} DPoP headers")
    # A proof is ASCII; other bytes stay wrong under this decoding, and never fail.
    return fields[0].decode("latin-1") if fields else None


def verify_proof(  # noqa: PLR0913 - a proof is checked against all of the request
    unverified: str,
    *,
    method: str,
    uri: str,
    now: datetime,
    access_token: str | None,
    nonces: NonceVerifier | None,
) -> DpopProof:
    """Return the proof that `unverified` is; the steps stand at the module's head.

    Args:
        unverified: what `proof_header` returned.
        method: the method of the request.
        uri: this server's URI of the target, from configuration and not from the Host
            header, which is the caller's word.
        now: the present.
        access_token: the token that came with the proof, None at the token endpoint.
        nonces: who checks nonces, None where none is asked for.

    Raises:
        InvalidProofError: the subclass says which step refused.
    """
    claims, thumbprint = opened(unverified)  # 2, 4 to 7
    token_id, issued_at = _token_id(claims), _issued_at(claims)  # 3
    if (claimed := _text(claims, "htm")) != method:  # 8
        raise WrongMethodError(f"htm is {claimed[:20]!r}, the method is {method!r}")
    _check_uri(_text(claims, "htu"), uri)  # 9
    nonce = None if nonces is None else _checked_nonce(claims, nonces, now)  # 10
    _check_age(issued_at, now)  # 11
    if access_token is not None:  # 12
        _check_access_token(claims, access_token)
    return DpopProof(
        thumbprint=thumbprint,
        token_id=token_id,
        issued_at=issued_at,
        expires_at=issued_at + MAX_AGE + SKEW,
        nonce=nonce,
    )


def token_hash(access_token: str) -> str:
    """Return the `ath` of a token: its SHA-256 in base64url (section 4.2)."""
    # A token is ASCII; anything else only must not fail here.
    octets = sha256(access_token.encode("utf-8", "surrogatepass")).digest()
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise MissingProofClaimError(f"{name} is no text")
    return value


def _token_id(claims: Mapping[str, Any]) -> str:
    value = _text(claims, "jti")
    if not _TOKEN_ID.fullmatch(value):
        raise MissingProofClaimError("jti is not 1 to 256 visible ASCII characters")
    return value


def _issued_at(claims: Mapping[str, Any]) -> datetime:
    try:
        return moment(claims.get("iat"))
    except ValueError as error:
        raise MissingProofClaimError(f"iat is {error}") from None


def _check_uri(claimed: str, uri: str) -> None:
    # The path of ours may come from the request line, so it, too, may be no URI.
    try:
        same = normal_uri(claimed) == normal_uri(uri)
    except ValueError as error:
        raise WrongUriError(f"htu or target: {error}") from None
    if not same:
        raise WrongUriError(f"htu is {claimed[:200]!r}, the target is {uri[:200]!r}")


def _checked_nonce(
    claims: Mapping[str, Any], nonces: NonceVerifier, now: datetime
) -> str:
    nonce = claims.get("nonce")
    if not isinstance(nonce, str):
        raise NonceRequiredError("no nonce in the proof")
    nonces.check(nonce, now)
    return nonce


def _check_age(issued_at: datetime, now: datetime) -> None:
    if issued_at > now + SKEW:
        raise FutureProofError(f"issued at {issued_at.isoformat()}")
    if issued_at <= now - MAX_AGE:
        raise ExpiredProofError(f"issued at {issued_at.isoformat()}")


def _check_access_token(claims: Mapping[str, Any], access_token: str) -> None:
    if claims.get("ath") != token_hash(access_token):
        raise WrongAccessTokenError("ath is absent, or the hash of another token")
