"""Turn a refusal into its HTTP answer: the one place for it.

RFC 6750, section 3, for the scheme Bearer; RFC 9449, section 7.1, for DPoP. A service
that takes both names both, and the error stands at the scheme that was used.
"""

from collections.abc import Mapping

from starlette.responses import JSONResponse, Response

from services.errors import ServiceError
from services.guard.credentials import BEARER, DPOP
from services.guard.errors import (
    InsufficientScopeError,
    NoTokenError,
    RequestRefusedError,
    UnusableCertificateError,
)
from services.guard.revocations import RevocationsUnknownError
from services.proof.dpop_errors import InvalidProofError
from services.proof.embedded_key import PROOF_ALGORITHMS
from services.proof.errors import InvalidTokenError
from services.proof.key_set import KeySetUnavailableError
from services.state.store import StateUnavailableError
from services.wire.peer import StatusUnknownError

_UNAVAILABLE = (
    KeySetUnavailableError,
    RevocationsUnknownError,
    StateUnavailableError,
    StatusUnknownError,
)
_RETRY_AFTER = "5"  # seconds; the key set is not asked for more often


def challenge(  # noqa: PLR0913 - what a challenge can say
    refusal: ServiceError,
    *,
    realm: str,
    used: str = BEARER,
    schemes: tuple[str, ...] = (BEARER,),
    nonce: str | None = None,
    metadata: str | None = None,
) -> Response:
    """Return the answer to a refused request.

    Args:
        refusal: why.
        realm: the audience that a token must name to be taken here.
        used: the scheme of the request.
        schemes: the schemes that are taken here.
        nonce: the next DPoP nonce, if one is due.
        metadata: where the metadata of this resource is (RFC 9728, section 5.1).
    """
    headers = {"Cache-Control": "no-store"}
    if isinstance(refusal, _UNAVAILABLE):
        # Not the caller's fault, and unknown is no: the RFCs have no code for it.
        return JSONResponse(
            {"error": refusal.code},
            status_code=503,
            headers={**headers, "Retry-After": _RETRY_AFTER},
        )
    if isinstance(refusal, UnusableCertificateError):
        headers["Connection"] = "close"  # the next one may have a good certificate
    if isinstance(refusal, RequestRefusedError):
        status, description = refusal.status, refusal.description
    elif isinstance(refusal, InvalidTokenError | InvalidProofError):
        status, description = 401, refusal.description
    else:
        raise refusal
    if nonce is not None:
        headers["DPoP-Nonce"] = nonce
    # The scheme at fault first: there are clients that look at the first one alone.
    common = {"realm": realm}
    if metadata is not None:
        common["resource_metadata"] = metadata
    headers["WWW-Authenticate"] = ", ".join(
        _challenge(scheme, refusal, common, description, at_fault=scheme == used)
        for scheme in dict.fromkeys((used, *schemes))
    )
    body = {"error": refusal.code or "unauthorized", "error_description": description}
    return JSONResponse(body, status_code=status, headers=headers)


def _challenge(
    scheme: str,
    refusal: ServiceError,
    common: Mapping[str, str],
    description: str,
    *,
    at_fault: bool,
) -> str:
    """Return one scheme's challenge; no text in it comes from the request."""
    parameters = dict(common)
    # No code where nothing was sent (RFC 6750, section 3.1).
    if at_fault and not isinstance(refusal, NoTokenError):
        parameters |= {"error": refusal.code, "error_description": description}
    if at_fault and isinstance(refusal, InsufficientScopeError):
        parameters["scope"] = refusal.needed
    if scheme == DPOP:
        parameters["algs"] = " ".join(sorted(PROOF_ALGORITHMS))
    return f"{scheme} {_joined(parameters)}"


def _joined(parameters: Mapping[str, str]) -> str:
    return ", ".join(f'{name}="{text}"' for name, text in parameters.items())
