"""Prove possession of this process' DPoP key on outgoing requests (RFC 9449).

The key is made here and never leaves; the newest nonce of each server is remembered
(section 8.2).
"""

from collections.abc import Callable
from datetime import datetime

import httpx

from services.proof.dpop_client import DpopKey

_NONCE = "DPoP-Nonce"
_MOST_SERVERS = 256  # one nonce each
_SENT = "certbound.dpop_nonce"  # the request extension that says which one went out


class Prover:
    """Proofs by one key."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._key = DpopKey()
        self._clock = clock
        self._nonces: dict[str, str] = {}

    def prove(self, request: httpx.Request, access_token: str | None = None) -> None:
        """Put a new proof on `request`, for `access_token` if one goes with it."""
        nonce = self._nonces.get(_origin(request.url))
        request.extensions |= {_SENT: nonce}
        request.headers["DPoP"] = self._key.proof(
            request.method,
            str(request.url),
            now=self._clock(),
            access_token=access_token,
            nonce=nonce,
        )

    def learn(self, response: httpx.Response) -> bool:
        """Remember the nonce of an answer; return whether it asks to try again."""
        nonce = response.headers.get(_NONCE)
        if nonce is None:
            return False
        origin = _origin(response.request.url)
        # Another request may have learnt it meanwhile: what this one had counts.
        sent = response.request.extensions.get(_SENT)
        asked_again = response.is_client_error and sent != nonce
        if len(self._nonces) >= _MOST_SERVERS:
            self._nonces.clear()
        self._nonces[origin] = nonce
        return asked_again


def _origin(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}"
