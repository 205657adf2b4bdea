"""A secret that all who share a store know, made by whichever of them needs it first.

For keyed hashes that every replica must be able to check, such as DPoP nonces. It is
replaced after `LIFE`; each replica takes the new one at the same moment.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from secrets import token_bytes

from services.state.store import AlreadyClaimedError, StateUnavailableError, Store

LIFE = timedelta(hours=12)
_SECONDS = LIFE.total_seconds()
# Whoever has said so writes it within this, or did not live to: then another may.
_WRITING = timedelta(seconds=5)
_LENGTH = 32  # bytes
_TRIES, _PAUSE = 20, 0.05  # a second: far more than the other replica needs to write


class SharedSecret:
    """One secret for one purpose, remembered for as long as it lasts."""

    def __init__(self, store: Store, purpose: str, *, pause: float = _PAUSE) -> None:
        self._store = store
        self._purpose = purpose
        self._pause = pause  # seconds between two looks
        self._known: tuple[int, bytes] | None = None

    async def now(self, now: datetime) -> bytes:
        """Return the secret of this moment.

        Raises:
            StateUnavailableError: it cannot be learnt now.
        """
        period = int(now.timestamp() // _SECONDS)
        if self._known is None or self._known[0] != period:
            name = f"secret {self._purpose} {period}"
            ends = datetime.fromtimestamp((period + 1) * _SECONDS, UTC)
            self._known = period, await self._learn(name, now, ends)
        return self._known[1]

    async def _learn(self, name: str, now: datetime, ends: datetime) -> bytes:
        for _ in range(_TRIES):
            found = await self._store.get_token(name)
            if found is not None:
                return found
            try:
                await self._store.claim("secret", name, now + _WRITING)
            except AlreadyClaimedError:
                await asyncio.sleep(self._pause)  # somebody else is writing it
            else:
                await self._store.put_token(name, token_bytes(_LENGTH), ends)
        raise StateUnavailableError(f"no {name} in the store")
