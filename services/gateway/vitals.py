"""What a gateway needs: the key set that answers are signed with, and its own state.

An upstream is not among them: a gateway before several serves the others well. A look
asks the token service no more often than `proof.key_set` would for a request.
"""

from collections.abc import Sequence

from services import metrics
from services.gateway.gateway import Gateway
from services.operations.vitals import Part
from services.proof.key_set import KeySetUnavailableError
from services.state.store import StateUnavailableError


class GatewayVitals:
    """The parts of a gateway, but for its identity."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def parts(self) -> Sequence[Part]:
        """Return whether tokens can be checked."""
        keys, replays = self._gateway.keys, self._gateway.replays
        try:
            metrics.known_keys(await keys.keys())
            found = [Part("key_set", up=True, age=keys.age)]
        except KeySetUnavailableError:
            found = [Part("key_set", up=False, age=keys.age)]
        if replays is not None:
            try:
                await replays.store.ping()
                found.append(Part("store", up=True))
            except StateUnavailableError:
                found.append(Part("store", up=False))
        return found
