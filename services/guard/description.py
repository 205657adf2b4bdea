"""Describe the answers that the guard gives in place of the application (OpenAPI 3.1).

They are components, because the paths are those of the guarded application: its own
description can refer to them.
"""

from services.guard import errors
from services.openapi import TEXT, Json, below, members, refusals
from services.proof.dpop_errors import InvalidProofError
from services.proof.errors import InvalidTokenError

_CHALLENGE: Json = {"WWW-Authenticate": {"schema": TEXT, "required": True}}
_NONCE: Json = {"DPoP-Nonce": {"schema": TEXT}}
_URI = {"type": "string", "format": "uri"}
_LIST = {"type": "array", "items": TEXT, "minItems": 1}


def guard_components() -> Json:
    """Return the guard's answers by status, and the schema of its metadata."""
    # The classes above the others are never raised.
    refused = below(errors.RequestRefusedError) - {errors.RequestRefusedError}
    answers = [
        (error.status, error.code or "unauthorized")
        for error in refused
        if issubclass(error, errors.RequestRefusedError)
    ]
    answers += [
        (401, error.code)
        for error in below(InvalidTokenError) | below(InvalidProofError)
    ]
    answers.append((503, "temporarily_unavailable"))
    headers = {
        400: _CHALLENGE,
        401: {**_CHALLENGE, **_NONCE},
        403: _CHALLENGE,
    }
    described = refusals(answers, headers=headers)
    return {
        "responses": {f"Guard{status}": one for status, one in described.items()},
        "schemas": {"ResourceMetadata": _metadata()},
    }


def _metadata() -> Json:
    return members(
        {
            "resource": _URI,
            "authorization_servers": {"type": "array", "items": _URI, "minItems": 1},
            "scopes_supported": _LIST,
            "bearer_methods_supported": {"const": ["header"]},
            "tls_client_certificate_bound_access_tokens": {"const": True},
            "dpop_bound_access_tokens_required": {"type": "boolean"},
            "dpop_signing_alg_values_supported": _LIST,
        },
        optional=["dpop_signing_alg_values_supported"],
    )
