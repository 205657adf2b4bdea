"""How long, and for how much, a server waits for the head of a request.

uvicorn waits for ever: its timer runs between requests only, and httptools reads
headers without an end (measured-facts F3: 2 MB). A peer that sends a byte now and then
would hold its connection, and the memory behind it, for nothing. `wire.server` puts
this mixin before uvicorn's protocols.

The handshake has its own limit (`wire.server`). Bodies have none here: how large one
may be, only the application knows.
"""

import asyncio
import logging

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services import log

HEAD_SECONDS = 10.0  # from the connection, or from the first byte of a later request
HEAD_BYTES = 64 * 1024  # what h11 allows; a whole head in one read may be larger


class _Patience(asyncio.Protocol):
    """What is the same for both parsers."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    _deadline: asyncio.TimerHandle | None = None
    _received = 0

    def awaits_head(self) -> bool:
        """Return whether the head of a request is incomplete."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a first request soon."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Read on, unless it has been enough."""
        super().data_received(data)
        if not self.awaits_head():
            self._rest()
            return
        self._expect()
        self._received += len(data)
        if self._received > HEAD_BYTES:
            self._hang_up(f"larger than {HEAD_BYTES} bytes")
            # A polite end would read on while it waits for the other's goodbye.
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        super().connection_lost(exc)
        self._rest()

    def _expect(self) -> None:
        if self._deadline is None:
            reason = f"not complete after {HEAD_SECONDS:g} s"
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._hang_up, reason)

    def _rest(self) -> None:
        self._received = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _hang_up(self, reason: str) -> None:
        if not self.transport.is_closing():
            log.event("http.head_refused", level=logging.WARNING, reason=reason)
            self.transport.close()


class PatientH11(_Patience, H11Protocol):
    """uvicorn's protocol over h11, with an end to its patience."""

    def awaits_head(self) -> bool:
        """Return whether h11 has not yet seen a whole head."""
        return self.conn.their_state is h11.IDLE


class PatientHttpTools(_Patience, HttpToolsProtocol):
    """uvicorn's protocol over httptools, with an end to its patience."""

    _in_head = True  # a connection begins with one

    def awaits_head(self) -> bool:
        """Return whether a head has begun that has not ended."""
        return self._in_head

    def on_message_begin(self) -> None:
        """Note the first byte of a request."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note the end of a head."""
        self._in_head = False
        super().on_headers_complete()
