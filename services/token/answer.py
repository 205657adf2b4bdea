"""Answers in JSON that no cache keeps (RFC 6749, section 5.1)."""

from collections.abc import Mapping
from logging import ERROR

import msgspec
from starlette.responses import JSONResponse, Response

from services import log

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

_HEADERS = (
    (b"content-type", b"application/json"),
    *((name.lower().encode(), value.encode()) for name, value in NO_STORE.items()),
)


class Answer(Response):
    """What was asked for, with status 200.

    The fields of its head are the same each time but for the length, so they are not
    put together anew, as `JSONResponse` does: that costs as much as a hash of a token.
    """

    def __init__(self, members: Mapping[str, object]) -> None:
        self.status_code = 200
        self.background = None
        self.body = msgspec.json.encode(members)
        length = b"%d" % len(self.body)
        self.raw_headers = [*_HEADERS, (b"content-length", length)]


def server_error(error: Exception) -> Response:
    """Answer an error nobody foresaw with a code and nothing else."""
    log.event("token.failed", level=ERROR, cause=type(error).__name__)
    return JSONResponse({"error": "server_error"}, status_code=500, headers=NO_STORE)
