"""Find the token in a request: in one Authorization header or nowhere (RFC 6750, 2).

It comes under the scheme Bearer, or under DPoP and then with a proof beside it (RFC
9449, section 7.1). A form or query parameter is never taken; in the query it is
refused, because by then it stands in logs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from urllib.parse import unquote_to_bytes

from services.guard.errors import (
    MalformedCredentialsError,
    NoTokenError,
    ProofBesideBearerError,
    ProofMissingError,
    TokenInQueryError,
    TwoCredentialsError,
)
from services.proof.dpop import proof_header

BEARER = "Bearer"
DPOP = "DPoP"
_SCHEMES = {scheme.lower(): scheme for scheme in (BEARER, DPOP)}  # no case (9110, 11.1)
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # b64token (RFC 6750, section 2.1)

_NAME = itemgetter(0)

Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request brought; neither part of it has been checked."""

    scheme: str
    unverified_token: str
    unverified_proof: str | None


def scheme_of(headers: Headers) -> str | None:
    """Return the scheme that a request uses: its refusal stands there (RFC 9449, 7.2).

    None for none that is taken, and for two headers.
    """
    fields = [value for name, value in headers if name.lower() == b"authorization"]
    return _split(fields[0])[0] if len(fields) == 1 else None


def _split(field: bytes) -> tuple[str | None, bytes]:
    name, _, rest = field.strip().partition(b" ")
    return _SCHEMES.get(name.decode("latin-1").lower()), rest.strip()


def credentials(headers: Headers, query: bytes) -> Credentials:
    """Return the credentials of a request whose ASGI `headers` and `query` these are.

    Raises:
        NoTokenError: there is none, or another scheme was used.
        TwoCredentialsError: there are two Authorization headers.
        TokenInQueryError: one stands in the query.
        MalformedCredentialsError: what follows the scheme is no token.
        ProofMissingError: the scheme is DPoP, and no proof came.
        ProofBesideBearerError: the scheme is Bearer, and a proof came.
        ManyProofsError: there are two proofs.
    """
    if _has_token(query):
        raise TokenInQueryError("access_token in the query")
    fields = [value for name, value in headers if name.lower() == b"authorization"]
    if not fields:
        raise NoTokenError("no Authorization header")
    if len(fields) > 1:
        raise TwoCredentialsError(f"{len(fields)} Authorization headers")
    scheme, token = _split(fields[0])
    if scheme is None:
        raise NoTokenError("another scheme than Bearer and DPoP")
    if not _TOKEN.fullmatch(token):
        raise MalformedCredentialsError("no token after the scheme")
    proof = proof_header(headers)
    if scheme == DPOP and proof is None:
        raise ProofMissingError("scheme DPoP without a DPoP header")
    if scheme == BEARER and proof is not None:
        # Which of the two was meant nobody can say; RFC 9449 has no such request.
        raise ProofBesideBearerError("a DPoP header beside scheme Bearer")
    return Credentials(scheme, token.decode("ascii"), proof)


def brought(headers: Headers, query: bytes) -> tuple[bytes, bool] | None:
    """Return the one Authorization field, as it came, and whether a proof is there.

    None for every request that `credentials` might refuse for what stands beside it.
    """
    names = [*map(_NAME, headers)]
    if not b"".join(names).islower():  # as every server has them; else look closely
        names = [name.lower() for name in names]
    if names.count(b"authorization") != 1 or names.count(b"dpop") > 1:
        return None
    if query and _has_token(query):
        return None
    return headers[names.index(b"authorization")][1], b"dpop" in names


def _has_token(query: bytes) -> bool:
    """Return whether a parameter has the name of RFC 6750, encoded or not."""
    if b"%" not in query and b"access_token" not in query.lower():
        return False  # nor can decoding bring it out
    names = [parameter.partition(b"=")[0] for parameter in query.split(b"&")]
    return any(unquote_to_bytes(name).lower() == b"access_token" for name in names)
