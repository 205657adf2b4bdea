"""What the token service has said of tokens, kept for a few seconds.

A verdict is kept by the token *and* by what its bearer showed, certificate and DPoP
key, and the binding is checked again at each request (`decision`): nobody can use the
verdict on another's token, nor on another's connection. It is believed for as long as a
revocation may stay unknown, counted from before the question, and never past the
token's own end. That a token is not active is kept as well, and apart, so that a flood
of invented tokens, each asked about at the cost of the one who brings it (`guesses`),
drives out no verdict on a good one. No answer is no verdict.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

from services.gateway.guesses import Guesses
from services.guard.revocations import BOUND
from services.proof.access_token import AccessToken
from services.proof.introspection_errors import InactiveTokenError, UnansweredError

MOST = 4096  # verdicts of each kind; about 2 kB each


class Holder(NamedTuple):
    """What the bearer of a token showed beside it."""

    thumbprint: str  # of the connection's certificate
    jkt: str | None  # of the DPoP proof's key


class _Key(NamedTuple):
    token: bytes  # its hash: what is kept in memory must not be usable
    holder: Holder


@dataclass(frozen=True, slots=True)
class _Verdict:
    token: AccessToken | None  # None: it is not active
    asked_at: datetime

    def holds(self, now: datetime) -> bool:
        """Return whether it is still to be believed; a clock that went back is no."""
        end = self.asked_at + BOUND
        if self.token is not None:
            end = min(end, self.token.expires_at)
        return self.asked_at <= now < end

    def active(self) -> AccessToken:
        """Return the token.

        Raises:
            InactiveTokenError: it is not active.
        """
        if self.token is None:
            raise InactiveTokenError("the token service says: not active")
        return self.token


_Memory = OrderedDict[_Key, _Verdict]


class Verdicts:
    """The cache of one gateway."""

    def __init__(
        self,
        ask: Callable[[str], Awaitable[AccessToken]],
        clock: Callable[[], datetime],
        *,
        guesses: Guesses,
        most: int = MOST,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._guesses = guesses
        self._most = most
        self._good: _Memory = OrderedDict()
        self._none: _Memory = OrderedDict()
        self._asking: dict[_Key, asyncio.Task[_Verdict]] = {}

    def __len__(self) -> int:
        """Return how many are kept."""
        return len(self._good) + len(self._none)

    async def verdict(self, unverified_token: str, holder: Holder) -> AccessToken:
        """Return what the token is, asking only if it is not known.

        Requests that ask the same at the same time share one question.

        Raises:
            InvalidTokenError: it is not active.
            TooManyTokensError: nor were too many others of this bearer's.
            IntrospectionError: that cannot be learnt now.
        """
        key = _Key(sha256(unverified_token.encode()).digest(), holder)
        known = self._good.get(key) or self._none.get(key)
        if known is not None and known.holds(self._clock()):
            return known.active()
        self._good.pop(key, None)
        self._none.pop(key, None)
        asking = self._asking.get(key)
        if asking is None:
            asking = asyncio.create_task(self._learn(key, unverified_token))
            self._asking[key] = asking
            asking.add_done_callback(lambda task: self._asked(key, task))
        # One of those who wait may hang up; the others wait on.
        return (await asyncio.shield(asking)).active()

    async def _learn(self, key: _Key, unverified_token: str) -> _Verdict:
        # As old as the question: what is revoked while the answer travels is not in it.
        asked_at = self._clock()
        try:
            with self._guesses.question(key.holder.thumbprint):
                token = await self._ask(unverified_token)
            verdict, memory = _Verdict(token, asked_at), self._good
        except InactiveTokenError:
            verdict, memory = _Verdict(None, asked_at), self._none
        if verdict.token is not None and not verdict.holds(self._clock()):
            raise UnansweredError("the answer took too long to be believed")
        while len(memory) >= self._most:
            memory.popitem(last=False)
        memory[key] = verdict
        return verdict

    def _asked(self, key: _Key, task: "asyncio.Task[_Verdict]") -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # seen, even if everybody who waited has hung up
