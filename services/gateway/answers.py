"""Turn a refusal at the edge into its HTTP answer: the one place for it.

What concerns the token is answered as a guard answers it (RFC 6750, RFC 9449); for the
rest, one JSON object with a code and our own words. Nothing in it comes from the
request or from the upstream.
"""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from services.errors import ServiceError
from services.gateway.errors import (
    GatewayError,
    MethodError,
    RequestTooLargeError,
    SlowCallerError,
    TooManyTokensError,
)
from services.gateway.gateway import Gateway
from services.guard.challenge import challenge
from services.guard.credentials import BEARER
from services.guard.judgement import Case
from services.guard.metadata import metadata_url
from services.guard.token_source import TokenUnavailableError
from services.proof.introspection_errors import IntrospectionError

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_STORE = {"Cache-Control": "no-store"}
_RETRY_AFTER = "1"  # seconds


def answer(refusal: ServiceError, case: Case, gateway: Gateway) -> Response:
    """Return the answer to a request that goes no further."""
    if isinstance(refusal, GatewayError):
        return _refused(refusal)
    if isinstance(refusal, IntrospectionError | TokenUnavailableError):
        return JSONResponse(
            {
                "error": TokenUnavailableError.code,
                "error_description": "the token cannot be checked now",
            },
            status_code=503,
            headers={**_NO_STORE, "Retry-After": _RETRY_AFTER},
        )
    return challenge(
        refusal,
        realm=gateway.config.audience,
        used=case.scheme or BEARER,
        schemes=gateway.schemes,
        nonce=case.next_nonce,
        metadata=metadata_url(
            gateway.config.audience,
            gateway.origins,
            Headers(scope=case.scope).get("host", ""),
        ),
    )


def _refused(refusal: GatewayError) -> Response:
    headers = dict(_NO_STORE)
    if isinstance(refusal, MethodError):
        headers["Allow"] = ", ".join(sorted(METHODS))
    if isinstance(refusal, TooManyTokensError):
        headers["Retry-After"] = str(int(refusal.retry_after.total_seconds()))
    if isinstance(refusal, RequestTooLargeError | SlowCallerError):
        headers["Connection"] = "close"  # the rest of the body is not waited for
    return JSONResponse(
        {"error": refusal.code, "error_description": refusal.description},
        status_code=refusal.status,
        headers=headers,
    )


def failed() -> Response:
    """Return the answer to a request on which the gateway itself fell over."""
    return JSONResponse({"error": "server_error"}, status_code=500, headers=_NO_STORE)
