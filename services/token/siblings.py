"""The public keys of the other replicas, asked for over mutual TLS.

Each replica is believed because of the connection it answers on: its certificate must
carry the token service's own SPIFFE ID.
"""

from collections.abc import Callable
from datetime import datetime

import httpx

from pki.identity import SpiffeId
from services.config import Replica
from services.proof.key_set import KeySetUnavailableError, RemoteKeySet
from services.wire.client import IdentityTransport
from services.wire.generation import LiveIdentity
from services.wire.status import CertificateStatus

_TIMEOUT = 2.0  # seconds: a replica that is down must not hold up a key set


class Sibling(RemoteKeySet):
    """The key set of one other replica, kept fresh."""

    def __init__(
        self,
        replica: Replica,
        identity: LiveIdentity,
        clock: Callable[[], datetime],
        status: CertificateStatus | None = None,
    ) -> None:
        super().__init__(self._get, clock)
        self._uri = replica.jwks_uri
        self._client = httpx.AsyncClient(
            transport=IdentityTransport(
                identity, SpiffeId.parse(replica.spiffe_id), status=status
            ),
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close the connections to it."""
        await self._client.aclose()

    async def _get(self) -> bytes:
        try:
            response = await self._client.get(self._uri)
            return response.raise_for_status().content
        except httpx.HTTPError as error:
            reason = f"{self._uri}: {type(error).__name__}: {error}"
            raise KeySetUnavailableError(reason) from error
