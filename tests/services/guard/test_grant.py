"""Tests of `services.guard.grant`: what the application sees, and what it asks for."""

from datetime import timedelta
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from services.guard.errors import InsufficientScopeError
from services.guard.grant import Grant, grant_of
from tests.services.mesh import Mesh
from tests.services.peers import peer
from tests.services.tokens import AUDIENCE, NOW


@pytest.fixture
def grant(mesh: Mesh) -> Grant:
    """Return the grant of a request by storefront."""
    return Grant(
        client_id="storefront",
        subject="storefront",
        scopes=frozenset({"orders.read", "orders.list"}),
        audience=AUDIENCE,
        expires_at=NOW + timedelta(minutes=5),
        token_id="id",
        bound=True,
        peer=peer(mesh, "storefront"),
    )


def test_a_scope_that_is_held_passes(grant: Grant) -> None:
    """Each of the scopes is enough for what needs it."""
    grant.require("orders.read")
    grant.require("orders.list")


@pytest.mark.parametrize(
    "scope", ["orders.write", "orders", "orders.rea", "ORDERS.READ", "", "*"]
)
def test_a_scope_that_is_not_held_is_refused(grant: Grant, scope: str) -> None:
    """Scopes are compared as texts: no prefix, no pattern, no case."""
    with pytest.raises(InsufficientScopeError) as refusal:
        grant.require(scope)
    assert refusal.value.needed == scope
    assert "orders.list" in str(refusal.value)


def test_several_scopes_in_one_text_are_none(grant: Grant) -> None:
    """A caller of `require` names one scope at a time."""
    with pytest.raises(InsufficientScopeError):
        grant.require("orders.read orders.list")


def test_a_grant_cannot_be_widened(grant: Grant) -> None:
    """What was decided stays decided."""
    with pytest.raises(AttributeError):
        grant.scopes = frozenset({"everything"})  # type: ignore[misc]  # the test


def test_a_grant_never_holds_the_token() -> None:
    """What the application does not hold, it cannot log or pass on."""
    names = set(Grant.__struct_fields__)
    assert names.isdisjoint({"token", "text", "authorization"})


def test_the_grant_of_a_request_is_found(grant: Grant) -> None:
    """It stands in the state of the request."""
    connection = HTTPConnection({"type": "http", "state": {"grant": grant}})
    assert grant_of(connection) is grant


@pytest.mark.parametrize(
    "scope", [{}, {"state": {}}, {"state": {"grant": None}}, {"state": {"grant": {}}}]
)
def test_an_unguarded_request_is_a_mistake(scope: dict[str, Any]) -> None:
    """An application without a guard fails loudly, instead of letting all in."""
    with pytest.raises(RuntimeError, match="does not guard"):
        grant_of(HTTPConnection({"type": "http", **scope}))
