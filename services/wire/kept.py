"""Many requests on one connection, at less cost than uvicorn's protocol has for each.

- The head of an answer leaves with the first of its body: one TLS record instead of
  two. It is also what ASGI demands ("the protocol server must not start sending the
  response to the client until it has received at least one Response Body event").
- The time for which a connection may lie idle is measured by one timer that looks
  when it rings, and not by one that is set and taken back with each request.

`wire.patience` stands on this. Everything else is uvicorn's: this file knows of its
protocol over httptools what a version may change, so the version is pinned.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_JOINED = 64 * 1024  # bytes: a larger part is not copied for the sake of one record


class _Gathering:
    """What one answer after the other is written to; holds the head of each back."""

    __slots__ = ("_held", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: bytes | None = None  # None before the head, empty after it

    def begin(self) -> None:
        """Expect the head of the next answer."""
        self._held = None

    def write(self, data: bytes) -> None:
        """Send `data`, unless it is a head."""
        if self._held is None:
            self._held = data
        elif not self._held:
            self._transport.write(data)
        elif len(data) <= _JOINED:
            head, self._held = self._held, b""
            self._transport.write(head + data)
        else:
            self.flush()
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that stands alone: nothing follows it."""
        if self._held:
            head, self._held = self._held, b""
            self._transport.write(head)

    def close(self) -> None:
        """Close the connection."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether it is being closed."""
        return self._transport.is_closing()


class KeptHttpTools(HttpToolsProtocol):
    """uvicorn's protocol over httptools."""

    _answer: _Gathering
    _idle_since: float | None = None
    idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Gather what is written to it."""
        # uvloop's own is none of asyncio's by class.
        super().connection_made(cast("asyncio.Transport", transport))
        self._answer = _Gathering(self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Look no more whether it lies idle."""
        super().connection_lost(exc)
        if self.idle is not None:
            self.idle.cancel()
            self.idle = None

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._answer.begin()
        if not cycle.waiting_for_100_continue:  # else that is what it writes first
            cycle.transport = self._answer
        super()._start_asgi_task(cycle, app)

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None

    def on_response_complete(self) -> None:
        """Go on to the next request, or begin to lie idle."""
        self._answer.flush()  # to HEAD
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self.idle is None:
            self.idle = self.loop.call_later(self.timeout_keep_alive, self._look)

    def _look(self) -> None:
        """Hang up if it has been idle for long enough, or look again later."""
        since, now = self._idle_since, self.loop.time()
        left = self.timeout_keep_alive - (now - since if since is not None else 0)
        if left > 0:
            self.idle = self.loop.call_later(left, self._look)
        elif not self.transport.is_closing():
            self.transport.close()
