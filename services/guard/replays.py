"""DPoP at a resource service: nonces, and proofs used once (RFC 9449, 9 and 11.1).

Both stand in a store that the service's replicas share: a nonce that one of them gave
is good at the other, and a proof that one of them took is refused by the other.
"""

from datetime import datetime

from services.guard.errors import ReplayedProofError
from services.proof.dpop import DpopProof
from services.proof.nonce import NonceIssuer
from services.state.secret import SharedSecret
from services.state.store import AlreadyClaimedError, Store

_PURPOSE = "dpop proof"


class Replays:
    """The memory of one service for proofs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._secret = SharedSecret(store, "dpop nonces of a resource")

    async def nonces(self, now: datetime) -> NonceIssuer:
        """Return the issuer of this moment's nonces.

        Raises:
            StateUnavailableError: their secret cannot be learnt now.
        """
        return NonceIssuer(await self._secret.now(now), "resource")

    async def spend(self, proof: DpopProof) -> None:
        """Use `proof` for the first time.

        Raises:
            ReplayedProofError: it was used before.
            StateUnavailableError: that cannot be said now.
        """
        key = f"{proof.thumbprint} {proof.token_id}"
        try:
            await self.store.claim(_PURPOSE, key, proof.expires_at)
        except AlreadyClaimedError as error:
            raise ReplayedProofError("the proof was used before") from error
