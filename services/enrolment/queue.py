"""The way to the one thread that signs: so many may wait, and no longer than this.

`app` asks here, so that the event loop waits for nothing. Whoever gives up waiting does
not stop the work: the same request, sent again, gets the certificate that was issued.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from services.enrolment.errors import BusyError, UnavailableError

T = TypeVar("T")

_PATIENCE = 20.0  # seconds


class Queue:
    """One thread, and who waits for it."""

    def __init__(self, *, patience: float = _PATIENCE) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="office")
        self._patience = patience
        self._waiting = 0

    async def do(self, work: Callable[[], T], *, most: int) -> T:
        """Return what `work` returns in the thread that signs.

        Raises:
            BusyError: `most` wait already.
            UnavailableError: it takes too long.
        """
        if self._waiting >= most:
            raise BusyError(f"{self._waiting} requests wait for the CA's key")
        self._waiting += 1
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._patience):
                return await asyncio.shield(future)
        except TimeoutError:
            raise UnavailableError(f"no answer in {self._patience:g} s") from None

    def close(self) -> None:
        """Let the thread end with what it is at."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _done(self, future: asyncio.Future[T]) -> None:
        self._waiting -= 1
        if not future.cancelled():
            future.exception()  # looked at: whoever waited may be gone
