"""DPoP at a resource service: nonces, and proofs used once (RFC 9449, 9 and 11.1).

Both stand in a store that the service's replicas share: a nonce that one of them gave
is good at the other, and a proof that one of them took is refused by the other.
"""

from collections.abc import Callable
from datetime import datetime

from services.config import ConfigError, GatewayConfig, ServiceConfig
from services.guard.errors import ReplayedProofError
from services.proof.dpop import DpopProof
from services.proof.nonce import NonceIssuer
from services.state.open import open_store
from services.state.secret import SharedSecret
from services.state.store import AlreadyClaimedError, Store

_PURPOSE = "dpop proof"
_STORE_FILE = "shared.sqlite"


def open_replays(
    config: ServiceConfig | GatewayConfig,
    *,
    audience: str,
    clock: Callable[[], datetime],
) -> "Replays | None":
    """Return the memory of the process for proofs, if there is a place to keep it.

    Raises:
        ConfigError: its state directory can be neither found nor made.
        StateUrlError: the store it names is none.
        StatePasswordError: the file with the store's password cannot be used.
    """
    if config.store is not None:
        password = config.store_password
        return Replays(
            open_store(config.store, scope=audience, clock=clock, password=password)
        )
    if config.state is None:
        return None
    try:
        config.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"state {config.state}: {error.strerror}") from None
    return Replays(open_store(config.state / _STORE_FILE, scope=audience, clock=clock))


class Replays:
    """The memory of one service for proofs."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._secret = SharedSecret(store, "dpop nonces of a resource")
        self._nonces: tuple[bytes, NonceIssuer] | None = None

    async def nonces(self, now: datetime) -> NonceIssuer:
        """Return the issuer of this moment's nonces.

        Raises:
            StateUnavailableError: their secret cannot be learnt now.
        """
        secret = await self._secret.now(now)
        if self._nonces is None or self._nonces[0] is not secret:
            self._nonces = secret, NonceIssuer(secret, "resource")
        return self._nonces[1]

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
