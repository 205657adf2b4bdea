"""Find the token in a request: in one Authorization header or nowhere (RFC 6750, 2).

A form or query parameter is never taken; in the query it is refused, because by then it
stands in logs.
"""

import re
from collections.abc import Iterable

from services.guard.errors import (
    MalformedCredentialsError,
    NoTokenError,
    TokenInQueryError,
    TwoCredentialsError,
)

_SCHEME = b"bearer"  # compared without case (RFC 9110, section 11.1)
_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]+=*")  # b64token (RFC 6750, section 2.1)
_IN_QUERY = re.compile(rb"(^|&)access_token(=|&|$)", re.IGNORECASE)


def unverified_token(headers: Iterable[tuple[bytes, bytes]], query: bytes) -> str:
    """Return the token of a request whose ASGI `headers` and `query` these are.

    Raises:
        NoTokenError: there is none, or another scheme was used.
        TwoCredentialsError: there are two Authorization headers.
        TokenInQueryError: one stands in the query.
        MalformedCredentialsError: what follows the scheme is no token.
    """
    if _IN_QUERY.search(query):
        raise TokenInQueryError("access_token in the query")
    fields = [value for name, value in headers if name.lower() == b"authorization"]
    if not fields:
        raise NoTokenError("no Authorization header")
    if len(fields) > 1:
        raise TwoCredentialsError(f"{len(fields)} Authorization headers")
    scheme, _, credentials = fields[0].strip().partition(b" ")
    if scheme.lower() != _SCHEME:
        raise NoTokenError("another scheme than Bearer")
    token = credentials.strip()
    if not _TOKEN.fullmatch(token):
        raise MalformedCredentialsError("no token after the scheme")
    return token.decode("ascii")
