"""What the token service needs: its certificate, a signing key, the shared state."""

from collections.abc import Sequence

from services.operations.vitals import Part
from services.state.store import StateUnavailableError, Store
from services.token.own_keys import OwnKeys
from services.token.signing_keys import SigningKeyError


class TokenServiceVitals:
    """The parts of a token service, but for its identity."""

    def __init__(self, keys: OwnKeys, store: Store) -> None:
        self._keys = keys
        self._store = store

    async def parts(self) -> Sequence[Part]:
        """Return whether tokens can be signed and state can be kept."""
        return [self._signing_key(), await self._state()]

    def _signing_key(self) -> Part:
        try:
            self._keys.signing()
        except SigningKeyError:
            return Part("signing_key", up=False)
        return Part("signing_key", up=True)

    async def _state(self) -> Part:
        try:
            await self._store.ping()
        except StateUnavailableError:
            return Part("store", up=False)
        return Part("store", up=True)
