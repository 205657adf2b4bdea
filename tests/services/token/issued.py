"""Tokens of a replica, without its endpoints."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from services.proof.access_token import AccessToken
from services.state.open import open_store
from services.token.key_ring import KeyRing
from services.token.own_keys import OwnKeys
from services.token.rotation import Schedule
from services.token.tokens import Tokens
from tests.services.documents import ISSUER, ORDERS_AUDIENCE
from tests.services.tokens import NOW

T = TypeVar("T")
ISSUED = NOW
SCHEDULE = Schedule(interval=timedelta(days=30), lead=timedelta(days=1))


def token(**changes: Any) -> AccessToken:
    """Return storefront's token for orders, but for the `changes`."""
    good: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": ORDERS_AUDIENCE,
        "subject": "storefront",
        "client_id": "storefront",
        "scopes": frozenset({"orders.read"}),
        "issued_at": ISSUED,
        "expires_at": ISSUED + timedelta(seconds=300),
        "token_id": "the-id-of-a-token",
        "confirmation": {"x5t#S256": "of storefront"},
    }
    return AccessToken(**{**good, **changes})


@dataclass
class Issuing:
    """The tokens of one replica, over a store in a file."""

    tokens: Tokens

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        """Return what `work` makes of them."""

        async def running() -> T:
            try:
                return await work()
            finally:
                await self.tokens.store.aclose()

        return asyncio.run(running())


def issuing(directory: Path) -> Issuing:
    """Return a replica's tokens; its key and its store are in `directory`."""
    store = open_store(directory / "shared.sqlite", scope=ISSUER, clock=lambda: ISSUED)
    keys = KeyRing(OwnKeys(directory / "state", lambda: SCHEDULE, lambda: ISSUED))
    return Issuing(Tokens(ISSUER, keys, store))
