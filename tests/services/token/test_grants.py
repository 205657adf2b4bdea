"""Tests of `services.token.grants`: which grants the token endpoint offers."""

from typing import Any

import httpx
import pytest

from tests.services.mesh import Mesh, Serve
from tests.services.running import request, token_service


@pytest.fixture(scope="module")
def ask(mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that sends storefront's request, but for the changes."""
    with token_service(mesh, serve, tmp_path_factory.mktemp("grants")) as tokens:
        storefront = mesh.instance("storefront")

        def ask(**changes: Any) -> httpx.Response:
            return tokens.ask(storefront, **changes)

        yield ask


def test_a_missing_grant_type_is_refused(ask: Any) -> None:
    """The parameter is required (RFC 6749, section 4.4.2)."""
    answer = ask(grant_type=None)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "grant_type",
    [
        "password",
        "authorization_code",
        "refresh_token",
        "implicit",
        "Client_Credentials",
    ],
)
def test_another_grant_type_is_refused(ask: Any, grant_type: str) -> None:
    """Two grants are offered; that of passwords never will be (RFC 9700, 2.4)."""
    assert request()["grant_type"] == "client_credentials"
    answer = ask(grant_type=grant_type)
    assert answer.status_code == 400
    assert answer.json()["error"] == "unsupported_grant_type"
