"""Describe the endpoints of the token service and every answer of theirs (OpenAPI 3.1).

Error answers come from the classes in `errors`; which of them an endpoint can give is
the one table here.
"""

from typing import Any
from urllib.parse import urlsplit

from services.config import TokenServiceConfig
from services.openapi import (
    TEXT,
    Json,
    answer,
    below,
    json,
    members,
    of_the_server,
    refusals,
)
from services.token import errors
from services.token.exchange import TYPES
from services.token.grants import GRANT_TYPES
from services.token.introspection import SIGNED
from services.token.key_ring import OWN_KEYS
from services.token.metadata import metadata_path
from services.token.revocation import FEED

# What only a request for a token can be refused for, and only one about a token.
_OF_GRANTS = frozenset(
    {
        errors.UnsupportedGrantTypeError,
        errors.InvalidTargetError,
        errors.InvalidScopeError,
        errors.InvalidSubjectTokenError,
    }
)
_OF_TOKENS = frozenset({errors.UnauthorizedClientError})
_FORM = "application/x-www-form-urlencoded"
_NONCE = {"DPoP-Nonce": {"schema": TEXT}}
_SECONDS = {"type": "integer"}
_OBJECT = {"type": "object"}
_URI = {"type": "string", "format": "uri"}
_LIST = {"type": "array", "items": TEXT, "minItems": 1}
_KEY = members(
    {
        "kty": {"const": "EC"},
        "crv": {"const": "P-256"},
        **dict.fromkeys(("x", "y", "kid"), TEXT),
        "use": {"const": "sig"},
        "alg": {"const": "ES256"},
    }
)
# How a client says who it is, beside its certificate (RFC 7523).
_CLIENT = {
    "client_id": TEXT,
    "client_assertion": TEXT,
    "client_assertion_type": TEXT,
}


def token_service_paths(config: TokenServiceConfig) -> Json:
    """Return the paths of the token service that `config` describes."""
    base = urlsplit(config.issuer).path.rstrip("/")
    keys = json(members({"keys": {"type": "array", "items": _KEY, "minItems": 1}}))
    return {
        f"{base}/token": _post(
            "Ask for an access token", _token_form(), _issued(), _OF_TOKENS
        ),
        f"{base}/introspect": _post(
            "Ask what a token is", _about_a_token(), _introspected(), _OF_GRANTS
        ),
        f"{base}/revoke": _post(
            "Void a token",
            _about_a_token(),
            answer("It is void, or was none."),
            _OF_GRANTS,
        ),
        f"{base}{FEED}": _feed(),
        f"{base}/jwks": _get("The public keys of all replicas", keys),
        f"{base}{OWN_KEYS}": _get("The public keys of this replica", keys),
        metadata_path(config.issuer): _get("Metadata (RFC 8414)", json(_metadata())),
    }


def _post(
    summary: str,
    form: Json,
    good: Json,
    never: frozenset[type[errors.TokenRequestError]],
) -> Json:
    known = [
        error
        for error in below(errors.TokenRequestError) - never
        if issubclass(error, errors.TokenRequestError)
        and error is not errors.TokenRequestError  # never raised itself
    ]
    codes = [(error.status, error.code) for error in known]
    responses = {
        "200": {**good, "headers": {**good.get("headers", {}), **_NONCE}},
        **refusals([*codes, (500, "server_error")], headers={400: _NONCE, 401: _NONCE}),
    }
    proof = {"name": "DPoP", "in": "header", "required": False, "schema": TEXT}
    return {
        "post": {
            "summary": summary,
            "parameters": [proof],
            "requestBody": {"required": True, "content": {_FORM: {"schema": form}}},
            "responses": of_the_server(responses),
        }
    }


def _get(summary: str, content: Json) -> Json:
    responses = {
        "200": answer(summary + ".", content),
        **refusals([(500, "server_error")]),
    }
    return {"get": {"summary": summary, "responses": of_the_server(responses)}}


def _feed() -> Json:
    ids = {"type": "array", "items": TEXT}
    described = _get("The tokens that are void", json(members({"revoked": ids})))
    tag = {"ETag": {"schema": TEXT, "required": True}}
    responses = described["get"]["responses"]
    responses["200"]["headers"] = tag
    responses["304"] = answer("Nothing has changed.", headers=tag)
    responses |= refusals([(500, "server_error"), (503, "temporarily_unavailable")])
    of_the_server(responses)
    known = {"name": "If-None-Match", "in": "header", "schema": TEXT}
    described["get"]["parameters"] = [known]
    return described


def _token_form() -> Json:
    return {
        "type": "object",
        "properties": {
            "grant_type": {"type": "string", "enum": sorted(GRANT_TYPES)},
            "resource": _URI,
            "audience": _URI,  # of an exchange, in the place of the resource
            "scope": {"type": "string", "minLength": 1},
            "subject_token": TEXT,
            "subject_token_type": {"type": "string", "enum": sorted(TYPES)},
            "requested_token_type": {"type": "string", "enum": sorted(TYPES)},
            **_CLIENT,
        },
        "required": ["grant_type"],
    }


def _about_a_token() -> Json:
    hint = {"token_type_hint": TEXT}
    properties = {"token": {"type": "string", "minLength": 1}, **hint, **_CLIENT}
    return {"type": "object", "properties": properties, "required": ["token"]}


def _issued() -> Json:
    schema = members(
        {
            "access_token": TEXT,
            "token_type": {"enum": ["Bearer", "DPoP"]},
            "expires_in": {"type": "integer", "minimum": 0},
            "scope": TEXT,
            "issued_token_type": {"enum": sorted(TYPES)},
        },
        optional=["issued_token_type"],
    )
    return answer("The token (RFC 6749, section 5.1).", json(schema))


def _introspected() -> Json:
    active = members(
        {
            "active": {"const": True},
            "token_type": {"enum": ["Bearer", "DPoP"]},
            **dict.fromkeys(("iss", "aud", "sub", "client_id", "scope", "jti"), TEXT),
            **dict.fromkeys(("iat", "exp"), _SECONDS),
            **dict.fromkeys(("cnf", "act", "may_act"), _OBJECT),
        },
        optional=["cnf", "act", "may_act"],
    )
    inactive = members({"active": {"const": False}})
    content: dict[str, Any] = {
        **json({"oneOf": [active, inactive]}),
        SIGNED: {"schema": TEXT},
    }
    return answer("What the token is, signed if asked for so (RFC 9701).", content)


def _metadata() -> Json:
    endpoints = ("token", "introspection", "revocation")
    uris = {f"{endpoint}_endpoint": _URI for endpoint in endpoints}
    algorithms = {
        f"{endpoint}_endpoint_auth_signing_alg_values_supported": _LIST
        for endpoint in endpoints
    }
    lists = {
        "scopes_supported": _LIST,
        "protected_resources": {"type": "array", "items": _URI, "minItems": 1},
        **algorithms,
    }
    return members(
        {
            "issuer": _URI,
            "jwks_uri": _URI,
            **uris,
            "mtls_endpoint_aliases": members(uris),
            "grant_types_supported": _LIST,
            **{f"{each}_endpoint_auth_methods_supported": _LIST for each in endpoints},
            "introspection_signing_alg_values_supported": _LIST,
            "dpop_signing_alg_values_supported": _LIST,
            "tls_client_certificate_bound_access_tokens": {"const": True},
            **lists,
        },
        optional=lists,
    )
