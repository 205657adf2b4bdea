"""What the token service says about itself (RFC 8414; RFC 8705, section 3.3).

Defaults are written out wherever the RFC's default would be a lie (grant types and
authentication methods); members without elements are left out (section 3.2), among
them `response_types_supported`: there is no authorization endpoint.
"""

from typing import Any
from urllib.parse import urlsplit

from services.config import TokenServiceConfig
from services.proof.embedded_key import PROOF_ALGORITHMS
from services.token.grants import GRANT_TYPES
from services.token.introspection import SIGNING_ALGORITHMS

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def metadata(config: TokenServiceConfig) -> dict[str, Any]:
    """Return the metadata document of the token service that `config` describes."""
    base = config.issuer.rstrip("/")
    scopes = {
        scope
        for client in config.clients.values()
        for granted in client.audiences.values()
        for scope in granted
    }
    authentication = _authentication(config)
    members = {
        "issuer": config.issuer,
        **_endpoints(base),
        # The same unless the configuration names another host for mutual TLS, where a
        # client of such must go if there is one; whose tokens they are does not change
        # (RFC 8705, section 5).
        "mtls_endpoint_aliases": _endpoints((config.mtls_base or base).rstrip("/")),
        "jwks_uri": f"{base}/jwks",
        "scopes_supported": sorted(scopes),
        "protected_resources": sorted(_resources(config)),  # RFC 9728, section 4
        "grant_types_supported": sorted(GRANT_TYPES),
        **{
            f"{endpoint}_endpoint_{member}": value
            for endpoint in ("token", "introspection", "revocation")
            for member, value in authentication.items()
        },
        "introspection_signing_alg_values_supported": SIGNING_ALGORITHMS,
        "dpop_signing_alg_values_supported": sorted(PROOF_ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": True,
    }
    return {name: value for name, value in members.items() if value != []}


def _endpoints(base: str) -> dict[str, str]:
    """Return the endpoints that clients authenticate at."""
    return {
        "token_endpoint": f"{base}/token",
        "introspection_endpoint": f"{base}/introspect",
        "revocation_endpoint": f"{base}/revoke",
    }


def _resources(config: TokenServiceConfig) -> set[str]:
    """Return every audience that a token may be asked for."""
    clients = config.clients.values()
    return {audience for client in clients for audience in client.audiences}


def _authentication(config: TokenServiceConfig) -> dict[str, list[str]]:
    """Return what clients are registered to authenticate by, at all endpoints alike.

    The algorithms have to be told where assertions are taken, and `none` is never one
    (RFC 8414, section 2).
    """
    methods = {name for name, _ in (each.method for each in config.clients.values())}
    signed = "private_key_jwt" in methods
    return {
        # Without a list a reader would believe in client_secret_basic.
        "auth_methods_supported": sorted(methods) or ["tls_client_auth"],
        "auth_signing_alg_values_supported": list(PROOF_ALGORITHMS) if signed else [],
    }


def metadata_path(issuer: str) -> str:
    """Return the path of the metadata: the well-known part comes first (3.1)."""
    return WELL_KNOWN + urlsplit(issuer).path.rstrip("/")
