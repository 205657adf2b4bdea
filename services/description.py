"""The OpenAPI 3.1 description of a token service, and of what every guard answers.

`services.process` has it served at `DOCUMENT`. Paths are those of this token service;
the guard's answers are components, `Guard401` and the like, and `ResourceMetadata` is
what each guarded service has at /.well-known/oauth-protected-resource (RFC 9728).
"""

from urllib.parse import urlsplit

from services.config import TokenServiceConfig
from services.guard.description import guard_components
from services.openapi import DOCUMENT, Json
from services.operations.description import operations_paths
from services.token.description import token_service_paths

_ABOUT = (
    "Every endpoint is reached over mutual TLS; clients authenticate by their "
    "certificate, or by an assertion beside it. Another path is answered with 404, "
    "another method with 405, both without a body."
)


def description(config: TokenServiceConfig) -> Json:
    """Return the description of the token service that `config` describes."""
    issuer = urlsplit(config.issuer)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Certbound token service",
            "version": "1",
            "description": _ABOUT,
        },
        "servers": [{"url": f"{issuer.scheme}://{issuer.netloc}"}],
        "security": [{"certificate": []}],
        "paths": {**token_service_paths(config), **operations_paths(DOCUMENT)},
        "components": {
            "securitySchemes": {"certificate": {"type": "mutualTLS"}},
            **guard_components(),
        },
    }
