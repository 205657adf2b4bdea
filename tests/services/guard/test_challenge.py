"""Tests of `services.guard.challenge`: each refusal in the words of RFC 6750."""

import importlib
import json
import pkgutil
import re
from typing import TypeVar

import pytest
from starlette.responses import Response

import services
from services.errors import ServiceError
from services.guard import errors as refused
from services.guard.challenge import challenge
from services.guard.credentials import BEARER, DPOP
from services.proof import errors as proof
from services.proof.key_set import KeySetUnavailableError

E = TypeVar("E", bound=ServiceError)
CHALLENGE = "www-authenticate"
REALM = "https://orders.shop.internal"


def members(response: Response) -> dict[str, str]:
    """Return the parameters of the Bearer challenge."""
    scheme, _, parameters = response.headers[CHALLENGE].partition(" ")
    assert scheme == "Bearer"
    return dict(re.findall(r'(\w+)="([^"]*)"(?:, |$)', parameters))


def body(response: Response) -> dict[str, str]:
    """Return the JSON body."""
    document: dict[str, str] = json.loads(bytes(response.body))
    return document


def all_subclasses(kind: type[E]) -> set[type[E]]:
    """Return every class below `kind`."""
    return {kind}.union(*(all_subclasses(one) for one in kind.__subclasses__()))


def test_without_a_token_there_is_no_code() -> None:
    """The answer asks for a token and accuses nobody (section 3.1)."""
    response = challenge(refused.NoTokenError("no header"), realm=REALM)
    assert response.status_code == 401
    assert members(response) == {"realm": REALM}


@pytest.mark.parametrize(
    "error",
    [
        refused.TwoCredentialsError("two"),
        refused.TokenInQueryError("query"),
        refused.MalformedCredentialsError("malformed"),
    ],
    ids=["two", "query", "malformed"],
)
def test_a_malformed_request_is_a_400(error: refused.InvalidRequestError) -> None:
    """The request is at fault, not the token (section 3.1)."""
    response = challenge(error, realm=REALM)
    assert response.status_code == 400
    assert members(response)["error"] == "invalid_request"
    assert body(response)["error"] == "invalid_request"


@pytest.mark.parametrize(
    "kind",
    sorted(all_subclasses(proof.InvalidTokenError), key=str),
)
def test_an_invalid_token_is_a_401(kind: type[proof.InvalidTokenError]) -> None:
    """Every fault of a token has the same code, and a description of its own."""
    response = challenge(kind("secret reason"), realm=REALM)
    assert response.status_code == 401
    assert members(response) == {
        "realm": REALM,
        "error": "invalid_token",
        "error_description": kind.description,
    }
    assert "secret reason" not in str(response.headers) + bytes(response.body).decode()
    assert "connection" not in response.headers


def test_the_scheme_at_fault_comes_first() -> None:
    """A client that looks at the first challenge alone learns why it was refused."""
    response = challenge(
        proof.MalformedTokenError("no token"),
        realm=REALM,
        used=DPOP,
        schemes=(BEARER, DPOP),
    )
    first, second = re.findall(r"(DPoP|Bearer) ([^B]*)", response.headers[CHALLENGE])
    assert first[0] == DPOP
    assert 'error="invalid_token"' in first[1]
    assert second[0] == BEARER
    assert "error" not in second[1]


def test_a_missing_scope_is_a_403_that_names_it() -> None:
    """The caller may ask for a token that reaches further (section 3.1)."""
    error = refused.InsufficientScopeError("orders.write", frozenset({"orders.read"}))
    response = challenge(error, realm=REALM)
    assert response.status_code == 403
    assert members(response)["error"] == "insufficient_scope"
    assert members(response)["scope"] == "orders.write"
    assert "orders.read" not in str(response.headers)


def test_a_dead_certificate_ends_the_connection() -> None:
    """A new connection may show a better one."""
    response = challenge(refused.UnusableCertificateError("expired"), realm=REALM)
    assert response.status_code == 401
    assert members(response)["error"] == "invalid_token"
    assert response.headers["connection"] == "close"


def test_without_keys_the_service_is_unavailable() -> None:
    """Nothing is wrong with the token, and still nobody is let in."""
    response = challenge(KeySetUnavailableError("no answer"), realm=REALM)
    assert response.status_code == 503
    assert response.headers["retry-after"] == "5"
    assert "www-authenticate" not in response.headers
    assert body(response) == {"error": "temporarily_unavailable"}


def test_another_error_is_not_dressed_up() -> None:
    """What is no refusal of a request is not answered as one."""
    with pytest.raises(ServiceError, match="mistake"):
        challenge(ServiceError("mistake"), realm=REALM)


def test_every_refusal_of_a_request_has_its_answer() -> None:
    """No class is forgotten, none may be stored, and no text breaks the header."""
    for module in pkgutil.walk_packages(services.__path__, "services."):
        if module.name.startswith(("services.guard", "services.proof")):
            importlib.import_module(module.name)
    kinds = {
        *all_subclasses(refused.RequestRefusedError),
        *all_subclasses(proof.InvalidTokenError),
    }
    assert len(kinds) > 15
    for kind in kinds - {refused.InsufficientScopeError}:  # it takes two arguments
        response = challenge(kind("reason"), realm=REALM)
        assert response.status_code in {400, 401}
        assert response.headers["cache-control"] == "no-store"
        description = body(response)["error_description"]
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", description)


@pytest.mark.parametrize("used", [BEARER, DPOP])
def test_each_challenge_tells_where_the_metadata_is(used: str) -> None:
    """The one that stands for no fault, too (RFC 9728, section 5.1)."""
    where = "https://localhost:8442/.well-known/oauth-protected-resource"
    response = challenge(
        refused.NoTokenError("no header"),
        realm=REALM,
        used=used,
        schemes=(BEARER, DPOP),
        metadata=where,
    )
    assert response.headers[CHALLENGE].count(f'resource_metadata="{where}"') == 2
