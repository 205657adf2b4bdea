"""Refuse tokens that were revoked, within seconds (RFC 7009, section 2.1).

A JWT says nothing of its own revocation, so the guard keeps the token service's list of
void tokens. A list older than `POLL` is asked for again while the request goes on; one
older than `BOUND` is not believed any more: the request waits for a new one, and is
refused if there is none. A revoked token is thus refused everywhere within `BOUND`,
whatever else fails.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import WARNING

from services import log
from services.errors import ServiceError
from services.proof.errors import RevokedTokenError

POLL = timedelta(seconds=1)
BOUND = timedelta(seconds=5)


class RevocationsUnknownError(ServiceError):
    """What is revoked cannot be learnt now, so nothing is let through."""

    code = "temporarily_unavailable"


@dataclass(frozen=True, slots=True)
class VoidTokens:
    """The ids of revoked tokens, and the entity tag they were published under."""

    etag: str
    token_ids: frozenset[str]


Fetch = Callable[[str | None], Awaitable[VoidTokens | None]]


class RevocationList:
    """The list of void tokens, at most `BOUND` old whenever it is believed."""

    def __init__(self, fetch: Fetch, clock: Callable[[], datetime]) -> None:
        """Ask with `fetch`: it takes the known entity tag, and returns None for it.

        It raises `RevocationsUnknownError` if it gets no answer.
        """
        self._fetch = fetch
        self._clock = clock
        self._void = VoidTokens("", frozenset())
        self._as_of: datetime | None = None
        self._refreshing: asyncio.Task[None] | None = None

    async def check(self, token_id: str) -> None:
        """Return if the token is not revoked.

        Raises:
            RevokedTokenError: it is.
            RevocationsUnknownError: that cannot be said.
        """
        await self.age()
        if token_id in self._void.token_ids:
            raise RevokedTokenError(f"token {token_id} was revoked")

    def passes(self, token_id: str, now: datetime) -> bool:
        """Return whether `check` would return at once, and ask for nothing."""
        as_of = self._as_of
        if as_of is None or not as_of <= now < as_of + POLL:
            return False
        return token_id not in self._void.token_ids

    async def age(self) -> timedelta:
        """Return how old the list is, once it is young enough to be believed.

        Raises:
            RevocationsUnknownError: it is older than that, and there is no new one.
        """
        age = self._age()
        if age is not None and age < POLL:
            return age
        refreshing = self._refresh()
        if age is None or age >= BOUND:
            await asyncio.wait([refreshing])
            age = self._age()
        if age is None or age >= BOUND:
            raise RevocationsUnknownError("the list of revoked tokens cannot be had")
        return age

    def _age(self) -> timedelta | None:
        """Return how old the list is; a clock that went back makes it unknown."""
        if self._as_of is None:
            return None
        age = self._clock() - self._as_of
        return age if age >= timedelta(0) else None

    def _refresh(self) -> "asyncio.Task[None]":
        """Return the one refresh that is under way."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.get_running_loop().create_task(self._ask())
        return self._refreshing

    async def _ask(self) -> None:
        # As old as the question: what is revoked while the answer travels is not in it.
        asked_at = self._clock()
        try:
            answer = await self._fetch(self._void.etag or None)
        except RevocationsUnknownError as error:
            log.event("revocations.unknown", level=WARNING, reason=error)
            return
        if answer is not None:
            self._void = answer
        self._as_of = asked_at
