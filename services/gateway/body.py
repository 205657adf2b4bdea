"""A caller's body, passed on while it arrives, and no further than its bound."""

import re
from collections.abc import AsyncIterator, Iterable

from starlette.types import Receive

from services.gateway.errors import CallerGoneError, RequestTooLargeError

_NUMBER = re.compile(rb"[0-9]{1,18}")  # Python refuses to read some thousand digits


class Body:
    """The body of one request; it is read once, as the upstream takes it."""

    def __init__(
        self, headers: Iterable[tuple[bytes, bytes]], receive: Receive, longest: int
    ) -> None:
        """Look at what the head says of the body.

        Raises:
            RequestTooLargeError: it says that the body is longer than `longest` bytes.
        """
        said = {name.lower(): value for name, value in headers}
        length = said.get(b"content-length", b"0")
        self.is_there = b"transfer-encoding" in said or length != b"0"
        self.awaited = False  # whether it is the caller that is waited for now
        self._receive = receive
        self._longest = longest
        if not _NUMBER.fullmatch(length) or int(length) > longest:
            raise RequestTooLargeError(f"content-length {length[:20]!r}")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in parts, as they come.

        Raises:
            RequestTooLargeError: it grows beyond its bound.
            CallerGoneError: it ends before its end.
        """
        received, more = 0, True
        while more:
            self.awaited = True
            message = await self._receive()
            self.awaited = False
            if message["type"] != "http.request":
                raise CallerGoneError("the caller hung up")
            part = message.get("body", b"")
            more = message.get("more_body", False)
            received += len(part)
            if received > self._longest:
                raise RequestTooLargeError(f"more than {self._longest} bytes")
            if part:
                yield part
