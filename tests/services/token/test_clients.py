"""Tests of `services.token.clients`: who is which client, and may have what."""

from pathlib import Path
from typing import Any

import pytest

from services.token.clients import Client, Clients
from services.token.errors import (
    InvalidScopeError,
    InvalidTargetError,
    UnknownClientError,
)
from tests.services.documents import (
    ORDERS_AUDIENCE,
    client_document,
    token_service_config,
)


def registry(directory: Path, **clients: dict[str, Any]) -> Clients:
    """Return the registry of these clients."""
    return Clients(token_service_config(directory, clients=clients).clients)


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    """Return the registry of storefront and stock."""
    stock = client_document(
        tls_client_auth={"san_dns": "stock.shop.internal"}, binding="none"
    )
    return registry(tmp_path, storefront=client_document(), stock=stock)


@pytest.fixture
def storefront(clients: Clients) -> Client:
    """Return the client storefront."""
    return clients.client("storefront")


def test_a_client_is_what_is_registered(storefront: Client) -> None:
    """A registration reads as the client it describes."""
    assert storefront.client_id == "storefront"
    assert storefront.lifetime.total_seconds() == 300
    assert storefront.binding == "certificate"


def test_a_client_for_bearer_tokens_is_registered_as_one(clients: Clients) -> None:
    """Only `binding: none` makes a client unbound."""
    assert clients.client("stock").binding == "none"


@pytest.mark.parametrize("client_id", ["nobody", "Storefront", "storefront "])
def test_an_unknown_client_is_refused(clients: Clients, client_id: str) -> None:
    """A name that nobody registered is nobody's."""
    with pytest.raises(UnknownClientError):
        clients.client(client_id)


def test_no_scope_asked_for_means_all(storefront: Client) -> None:
    """A request may leave the scope out (RFC 6749, section 3.3)."""
    everything = storefront.scopes_at(ORDERS_AUDIENCE, None)
    assert everything == {"orders.read", "orders.write"}


def test_a_part_may_be_asked_for(storefront: Client) -> None:
    """What is asked for is what is given, and no more."""
    assert storefront.scopes_at(ORDERS_AUDIENCE, "orders.read") == {"orders.read"}


def test_scopes_have_no_order(storefront: Client) -> None:
    """Order and repetition of scopes mean nothing (RFC 6749, section 3.3)."""
    asked = "orders.write orders.read orders.write"
    assert storefront.scopes_at(ORDERS_AUDIENCE, asked) == {
        "orders.read",
        "orders.write",
    }


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("stock.read", id="of-another"),
        pytest.param("orders.read orders.delete", id="one-too-many"),
        pytest.param("ORDERS.READ", id="case"),
        pytest.param("orders.read  orders.write", id="two-blanks"),
        pytest.param(" orders.read", id="leading-blank"),
        pytest.param("orders.read\torders.write", id="tab"),
        pytest.param("orders.read,orders.write", id="comma"),
        pytest.param("*", id="star"),
    ],
)
def test_more_than_the_topology_gives_is_refused(
    storefront: Client, asked: str
) -> None:
    """A scope beyond the registration refuses the request: it is never cut down."""
    with pytest.raises(InvalidScopeError):
        storefront.scopes_at(ORDERS_AUDIENCE, asked)


@pytest.mark.parametrize(
    "resource",
    ["https://stock.shop.internal", ORDERS_AUDIENCE + "/", ORDERS_AUDIENCE.upper()],
)
def test_a_resource_without_an_edge_is_refused(
    storefront: Client, resource: str
) -> None:
    """A client may call what the topology says, by its exact name (RFC 8707, 2)."""
    with pytest.raises(InvalidTargetError):
        storefront.scopes_at(resource, None)
