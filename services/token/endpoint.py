"""An endpoint for authenticated clients: admit, handle, and answer every refusal.

The one place that makes error answers (RFC 6749, section 5.2), and writes their line of
the log.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from services import audit, metrics
from services.proof.key_set import KeySetUnavailableError
from services.state.store import StateUnavailableError
from services.token.admission import Admission
from services.token.answer import NO_STORE, server_error
from services.token.call import Call, Seen
from services.token.errors import (
    RequestTooLargeError,
    TokenRequestError,
    UnavailableError,
    UnusableCertificateError,
)
from services.token.limits import Limits
from services.wire.presented import presented_serial

Handler = Callable[[Call], Awaitable[Response]]
Asked = Callable[[Request], Awaitable[Response]]


class Endpoint:
    """A handler behind `Admission`, as an ASGI application of its own.

    `name` begins its lines in the log.
    """

    def __init__(
        self, name: str, admission: Admission, limits: Limits, handle: Handler
    ) -> None:
        self._name = name
        self._admission = admission
        self._limits = limits
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what nobody foresaw is answered, and raised."""
        try:
            response = await self._answered(scope, receive)
        except Exception as error:
            await server_error(error)(scope, receive, send)
            raise
        await response(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive) -> Response:
        seen = Seen()
        with metrics.request(self._name) as outcome:
            try:
                response = await self._answer(scope, receive, seen)
                outcome.answer(response.status_code)
            except TokenRequestError as error:
                response = self._refuse(error, seen, scope)
                outcome.answer(error.status, error.code)
        if seen.next_nonce:  # a client of DPoP gets its next one (RFC 9449, 8.2)
            response.headers["DPoP-Nonce"] = seen.next_nonce
        return response

    async def _answer(self, scope: Scope, receive: Receive, seen: Seen) -> Response:
        try:
            self._limits.count_connection(scope)
            call = await self._admission.admit(scope, receive, seen)
            self._limits.count_client(call.client.client_id)
            return await self._handle(call)
        except (StateUnavailableError, KeySetUnavailableError) as error:
            raise UnavailableError(str(error)) from error

    def _refuse(self, error: TokenRequestError, seen: Seen, scope: Scope) -> Response:
        audit.refused(
            f"{self._name}.refused",
            error,
            client_id=seen.client_id,
            peer=seen.peer.spiffe_id if seen.peer else None,
            certificate=presented_serial(scope),
        )
        headers = dict(NO_STORE)
        if isinstance(error, UnusableCertificateError | RequestTooLargeError):
            headers["Connection"] = "close"
        if error.retry_after is not None:
            headers["Retry-After"] = f"{error.retry_after.total_seconds():.0f}"
        return JSONResponse(
            {"error": error.code, "error_description": error.description},
            status_code=error.status,
            headers=headers,
        )


def counted(name: str, handle: Asked) -> Asked:
    """Return `handle`, the answer to everybody's question, counted as `name`."""

    async def counting(request: Request) -> Response:
        with metrics.request(name) as outcome:
            response = await handle(request)
            outcome.answer(response.status_code)
            return response

    return counting
