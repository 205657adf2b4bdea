"""Turn a refusal into its HTTP answer (RFC 6750, section 3): the one place for it."""

from starlette.responses import JSONResponse, Response

from services.errors import ServiceError
from services.guard.errors import (
    InsufficientScopeError,
    NoTokenError,
    RequestRefusedError,
    UnusableCertificateError,
)
from services.proof.errors import InvalidTokenError
from services.proof.key_set import KeySetUnavailableError

_RETRY_AFTER = "5"  # seconds; the key set is not asked for more often


def challenge(refusal: ServiceError, *, realm: str) -> Response:
    """Return the answer to a refused request.

    Args:
        refusal: why.
        realm: the audience that a token must name to be taken here.
    """
    headers = {"Cache-Control": "no-store"}
    if isinstance(refusal, KeySetUnavailableError):
        # Not the caller's fault, and unknown is no: RFC 6750 has no code for it.
        return JSONResponse(
            {"error": refusal.code},
            status_code=503,
            headers={**headers, "Retry-After": _RETRY_AFTER},
        )
    if isinstance(refusal, UnusableCertificateError):
        headers["Connection"] = "close"  # the next one may have a good certificate
    if isinstance(refusal, RequestRefusedError):
        status, description = refusal.status, refusal.description
    elif isinstance(refusal, InvalidTokenError):
        status, description = 401, refusal.description
    else:
        raise refusal
    headers["WWW-Authenticate"] = _bearer(refusal, realm, description)
    body = {"error": refusal.code or "unauthorized", "error_description": description}
    return JSONResponse(body, status_code=status, headers=headers)


def _bearer(refusal: ServiceError, realm: str, description: str) -> str:
    """Return the header; no text in it comes from the request."""
    parameters = {"realm": realm}
    if not isinstance(refusal, NoTokenError):  # no code where nothing was sent (3.1)
        parameters |= {"error": refusal.code, "error_description": description}
    if isinstance(refusal, InsufficientScopeError):
        parameters["scope"] = refusal.needed
    return "Bearer " + ", ".join(
        f'{name}="{text}"' for name, text in parameters.items()
    )
