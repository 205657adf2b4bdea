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

_TIMEOUT = 2.0  # seconds: a replica that is down must not hold up a key set


def sibling(
    replica: Replica, identity: LiveIdentity, clock: Callable[[], datetime]
) -> RemoteKeySet:
    """Return the key set of `replica`, kept fresh."""
    client = httpx.AsyncClient(
        transport=IdentityTransport(identity, SpiffeId.parse(replica.spiffe_id)),
        timeout=_TIMEOUT,
        trust_env=False,
    )

    async def fetch() -> bytes:
        try:
            response = await client.get(replica.jwks_uri)
            return response.raise_for_status().content
        except httpx.HTTPError as error:
            reason = f"{replica.jwks_uri}: {type(error).__name__}: {error}"
            raise KeySetUnavailableError(reason) from error

    return RemoteKeySet(fetch, clock)
