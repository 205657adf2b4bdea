"""Make DPoP proofs: what a client does for each request (RFC 9449, section 4.2).

`DpopKey` is the key of one process, made in its memory and gone with it: tokens bound
to it are of no use to whoever finds them in a file, a log or a proxy. Called by what
sends requests; what checks proofs (`dpop`) does not load this.
"""

import json
from datetime import datetime
from secrets import token_urlsafe
from typing import Any, NoReturn

from joserfc import jws
from joserfc.jwk import ECKey

from services.proof.dpop import token_hash
from services.proof.opened_proof import TYPE

_ALGORITHM = "ES256"  # the one that every server has
_TOKEN_ID = 16  # octets: RFC 9449, section 4.2, asks for 96 bits; these are 128


class DpopKey:
    """A P-256 key that signs proofs and is never shown, stored or copied."""

    __slots__ = ("_key", "_public", "thumbprint")

    def __init__(self) -> None:
        self._key = ECKey.generate_key("P-256")
        self._public = self._key.as_dict(private=False)
        self.thumbprint = self._key.thumbprint()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(thumbprint={self.thumbprint!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a DPoP key does not leave its process")

    def proof(
        self,
        method: str,
        uri: str,
        *,
        now: datetime,
        access_token: str | None = None,
        nonce: str | None = None,
    ) -> str:
        """Return a new proof for one request.

        Args:
            method: of the request, in upper case as it is sent.
            uri: of the request; query and fragment are left out.
            now: the present.
            access_token: the token that goes with it, if one does.
            nonce: the newest one that this server gave, if it did.
        """
        claims: dict[str, Any] = {
            "jti": token_urlsafe(_TOKEN_ID),
            "htm": method,
            "htu": uri.partition("#")[0].partition("?")[0],
            "iat": int(now.timestamp()),
        }
        if access_token is not None:
            claims["ath"] = token_hash(access_token)
        if nonce is not None:
            claims["nonce"] = nonce
        header = {"typ": TYPE, "alg": _ALGORITHM, "jwk": self._public}
        return jws.serialize_compact(
            header, json.dumps(claims), self._key, algorithms=[_ALGORITHM]
        )
