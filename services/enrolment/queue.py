"""The way to the one thread that signs: so many may wait, and no longer than this.

`app` asks here, so that the event loop waits for nothing. All who came while the thread
was at work are served together when it is free: what it costs to open the ledger, and
to wait for the disk, is theirs together. Whoever gives up waiting does not stop the
work: the same request, sent again, gets the certificate that was issued.

Whoever comes alone is served at once. While one batch follows the other, each gathers
for a moment before it is served: a renewal is in no hurry, and the more come together,
the less each costs.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Generic, TypeVar

from services.enrolment.errors import BusyError, UnavailableError

S = TypeVar("S")
T = TypeVar("T")
Wish = TypeVar("Wish")

_PATIENCE = 20.0  # seconds
_GATHERS = 0.05  # seconds
_TOGETHER = 64  # so that others, who wait for the CA's lock, have their turn


class Queue(Generic[Wish, T]):
    """One thread, and who waits for it."""

    def __init__(
        self,
        serve: Callable[[Sequence[Wish]], Sequence[T | Exception]],
        *,
        patience: float = _PATIENCE,
    ) -> None:
        """Take what serves some wishes in the thread: an outcome for each, in order."""
        self._serve = serve
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="office")
        self._patience = patience
        self._waiting = 0
        self._wishes: list[tuple[Wish, asyncio.Future[T]]] = []
        self._serving = False

    async def ask(self, wish: Wish, *, most: int) -> T:
        """Return what comes of `wish`, which may be served with others.

        Raises:
            BusyError: `most` wait already.
            UnavailableError: it takes too long.
        """
        self._admit(most)
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._wishes.append((wish, future))
        if not self._serving:
            self._next()
        return await self._patiently(future)

    async def do(self, work: Callable[[], S], *, most: int) -> S:
        """Return what `work` returns in the thread that signs.

        Raises:
            BusyError: `most` wait already.
            UnavailableError: it takes too long.
        """
        self._admit(most)
        return await self._patiently(
            asyncio.get_running_loop().run_in_executor(self._thread, work)
        )

    def close(self) -> None:
        """Let the thread end with what it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _admit(self, most: int) -> None:
        if self._waiting >= most:
            raise BusyError(f"{self._waiting} requests wait for the CA's key")

    async def _patiently(self, future: asyncio.Future[S]) -> S:
        self._waiting += 1
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(future)
        except TimeoutError:
            raise UnavailableError(f"no answer in {self._patience:g} s") from None

    def _next(self) -> None:
        """Have the thread serve those who wait."""
        self._serving = True
        served, self._wishes = self._wishes[:_TOGETHER], self._wishes[_TOGETHER:]
        wishes, futures = zip(*served, strict=True)
        running = asyncio.get_running_loop().run_in_executor(
            self._thread, self._serve, wishes
        )
        running.add_done_callback(partial(self._served, futures))

    def _served(
        self,
        futures: Sequence[asyncio.Future[T]],
        running: asyncio.Future[Sequence[T | Exception]],
    ) -> None:
        if running.cancelled():  # the process ends
            for future in futures:
                future.cancel()
            return
        failed = running.exception()
        outcomes = [failed] * len(futures) if failed else running.result()
        for future, outcome in zip(futures, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        self._serving = bool(self._wishes)
        if self._serving:
            asyncio.get_running_loop().call_later(_GATHERS, self._next)

    def _done(self, future: asyncio.Future[S]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # looked at: whoever waited may be gone
