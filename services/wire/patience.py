"""How long, and for how much, a server waits for the head and the body of a request.

uvicorn waits for ever: its timer runs between requests only, and httptools reads
headers without an end (measured-facts F3: 2 MB). A peer that sends a byte now and then
would hold its connection, and the memory behind it, for nothing. `wire.server` puts
this mixin before uvicorn's protocols.

A body must go on: a sender who brings less than a kilobyte a second, while somebody
waits for it, is hung up on, and the application finds its caller gone. How large a body
may be, only the application knows. The handshake has its own limit (`wire.server`).
"""

import asyncio
import logging
from typing import Any

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from services import log
from services.wire.kept import KeptHttpTools

HEAD_SECONDS = 10.0  # from the connection, or from the first byte of a later request
HEAD_BYTES = 64 * 1024  # what h11 allows; a whole head in one read may be larger
BODY_SECONDS = 10.0  # in which a body must end, or have grown by
BODY_BYTES = 10 * 1024


class _Patience(asyncio.Protocol):
    """What is the same for both parsers."""

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport

    flow: FlowControl
    cycle: Any  # uvicorn's RequestResponseCycle, of one parser or the other

    _deadline: asyncio.TimerHandle | None = None
    _received = 0
    _body_deadline: asyncio.TimerHandle | None = None
    _body_received = 0

    def awaits_head(self) -> bool:
        """Return whether the head of a request is incomplete."""
        raise NotImplementedError

    def awaits_body(self) -> bool:
        """Return whether a head is complete, and its body is not."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Expect a first request soon."""
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Read on, unless it has been enough."""
        super().data_received(data)
        if self.awaits_body():
            self._body_received += len(data)
            self._expect_body()
        elif self._body_deadline is not None:
            self._rest_body()
        if not self.awaits_head():
            if self._deadline is not None:
                self._rest()
            return
        self._expect()
        self._received += len(data)
        if self._received > HEAD_BYTES:
            self._hang_up("head", f"larger than {HEAD_BYTES} bytes")
            # A polite end would read on while it waits for the other's goodbye.
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        super().connection_lost(exc)
        self._rest()
        self._rest_body()

    def _expect(self) -> None:
        if self._deadline is None:
            reason = f"not complete after {HEAD_SECONDS:g} s"
            self._deadline = self.loop.call_later(
                HEAD_SECONDS, self._hang_up, "head", reason
            )

    def _rest(self) -> None:
        self._received = 0
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expect_body(self) -> None:
        if self._body_deadline is None and not self.transport.is_closing():
            self._body_deadline = self.loop.call_later(BODY_SECONDS, self._look_at_body)

    def _look_at_body(self) -> None:
        # Not the sender's fault: the application does not read, or has yet to ask for
        # the body (RFC 9110, section 10.1.1).
        held_back = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if self._body_received < BODY_BYTES and not held_back:
            self._hang_up("body", f"{self._body_received} bytes in {BODY_SECONDS:g} s")
        self._rest_body()
        self._expect_body()

    def _rest_body(self) -> None:
        self._body_received = 0
        if self._body_deadline is not None:
            self._body_deadline.cancel()
            self._body_deadline = None

    def _hang_up(self, part: str, reason: str) -> None:
        if not self.transport.is_closing():
            log.event(f"http.{part}_refused", level=logging.WARNING, reason=reason)
            self.transport.close()


class PatientH11(_Patience, H11Protocol):
    """uvicorn's protocol over h11, with an end to its patience."""

    def awaits_head(self) -> bool:
        """Return whether h11 has not yet seen a whole head."""
        return self.conn.their_state is h11.IDLE

    def awaits_body(self) -> bool:
        """Return whether h11 has not yet seen a whole body."""
        return self.conn.their_state is h11.SEND_BODY


class PatientHttpTools(_Patience, KeptHttpTools):
    """uvicorn's protocol over httptools, with an end to its patience."""

    _in_head = True  # a connection begins with one
    _in_body = False

    def awaits_head(self) -> bool:
        """Return whether a head has begun that has not ended."""
        return self._in_head

    def awaits_body(self) -> bool:
        """Return whether a body has begun that has not ended."""
        return self._in_body

    def on_message_begin(self) -> None:
        """Note the first byte of a request."""
        self._in_head = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note the end of a head."""
        self._in_head, self._in_body = False, True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Note the end of a body, be it empty."""
        self._in_body = False
        super().on_message_complete()
