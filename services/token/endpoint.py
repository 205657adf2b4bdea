"""An endpoint for authenticated clients: admit, handle, and answer every refusal.

The one place that makes error answers (RFC 6749, section 5.2), and writes their line of
the log.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services import audit, metrics
from services.proof.key_set import KeySetUnavailableError
from services.state.store import StateUnavailableError
from services.token.admission import Admission
from services.token.call import Call, Seen
from services.token.errors import (
    RequestTooLargeError,
    TokenRequestError,
    UnavailableError,
    UnusableCertificateError,
)
from services.token.limits import Limits
from services.wire.presented import presented_serial

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749, 5.1

Handler = Callable[[Call], Awaitable[Response]]
Asked = Callable[[Request], Awaitable[Response]]


class Endpoint:
    """A handler behind `Admission`; `name` begins its lines in the log."""

    def __init__(
        self, name: str, admission: Admission, limits: Limits, handle: Handler
    ) -> None:
        self._name = name
        self._admission = admission
        self._limits = limits
        self._handle = handle

    async def __call__(self, request: Request) -> Response:
        """Answer `request`."""
        seen = Seen()
        with metrics.request(self._name) as outcome:
            try:
                response = await self._answer(request, seen)
                outcome.answer(response.status_code)
            except TokenRequestError as error:
                response = self._refuse(error, seen, request)
                outcome.answer(error.status, error.code)
        response.headers.update(_nonce(seen))
        return response

    async def _answer(self, request: Request, seen: Seen) -> Response:
        try:
            self._limits.count_connection(request.scope)
            call = await self._admission.admit(request, seen)
            self._limits.count_client(call.client.client_id)
            return await self._handle(call)
        except (StateUnavailableError, KeySetUnavailableError) as error:
            raise UnavailableError(str(error)) from error

    def _refuse(
        self, error: TokenRequestError, seen: Seen, request: Request
    ) -> Response:
        audit.refused(
            f"{self._name}.refused",
            error,
            client_id=seen.client_id,
            peer=seen.peer.spiffe_id if seen.peer else None,
            certificate=presented_serial(request.scope),
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


def _nonce(seen: Seen) -> dict[str, str]:
    """Return the header that gives a client of DPoP its next nonce (RFC 9449, 8.2)."""
    return {"DPoP-Nonce": seen.next_nonce} if seen.next_nonce else {}
