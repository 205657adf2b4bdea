"""What the CA's front answers when it refuses, and the line of the log it writes."""

from collections.abc import Awaitable, Callable
from logging import ERROR

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from services import audit, log, metrics
from services.enrolment.errors import (
    EnrolmentError,
    MethodError,
    NotFoundError,
    TooLargeError,
    UnusableCertificateError,
)
from services.wire.presented import presented_serial

NO_STORE = {"Cache-Control": "no-store"}
REFUSED_CERTIFICATE = "certificate.refused"

Answering = Callable[[Request], Awaitable[Response]]


def answered(
    name: str, handle: Answering, *, event: str = REFUSED_CERTIFICATE
) -> Answering:
    """Return `handle`, counted as `name`, whose refusals become answers.

    `event` is what the log calls a refusal.
    """

    async def answering(request: Request) -> Response:
        with metrics.request(name) as outcome:
            try:
                response = await handle(request)
                outcome.answer(response.status_code)
            except EnrolmentError as error:
                outcome.answer(error.status, error.code)
                response = _refused(error, request, name, event)
            return response

    return answering


async def lost(
    request: Request, error: Exception, *, event: str = REFUSED_CERTIFICATE
) -> Response:
    """Answer another path or method."""
    if not isinstance(error, HTTPException):
        raise error
    kind = MethodError if error.status_code == MethodError.status else NotFoundError
    refusal = kind(f"{request.method} {request.scope['path']}")
    response = _refused(refusal, request, None, event)
    response.headers.update(error.headers or {})
    return response


async def failed(_request: Request, error: Exception) -> Response:
    """Answer an error nobody foresaw with a code and nothing else."""
    log.event("enrolment.failed", level=ERROR, cause=type(error).__name__)
    return PlainTextResponse("server_error\n", status_code=500, headers=NO_STORE)


def _refused(
    error: EnrolmentError, request: Request, name: str | None, event: str
) -> Response:
    peer = getattr(request.state, "peer", None)
    audit.refused(
        event,
        error,
        client_id=None,  # what a request says of its sender is not proved
        peer=peer.spiffe_id if peer else None,
        certificate=presented_serial(request.scope),
        operation=name,
    )
    headers = dict(NO_STORE)
    if isinstance(error, UnusableCertificateError | TooLargeError):
        headers["Connection"] = "close"
    if error.retry_after is not None:
        headers["Retry-After"] = f"{error.retry_after.total_seconds():.0f}"
    text = f"{error.code}: {error.description}\n"
    return PlainTextResponse(text, status_code=error.status, headers=headers)
