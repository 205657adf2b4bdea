"""Flows through a gateway: an opaque token goes in, a chain of callers comes out."""

from collections.abc import Iterator

import pytest

from services.samples import orders, stock
from tests.services.gateway.standing import Edge, clients, standing, stock_called
from tests.services.guarding import guarded
from tests.services.mesh import Mesh, Serve
from tests.services.running import STOCK_AUDIENCE, token_service


@pytest.fixture(scope="module")
def edge(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """Return storefront -> gateway -> orders -> stock."""
    home = tmp_path_factory.mktemp("edge")
    (home / "tokens-of-all").mkdir()
    (home / "stock").mkdir()
    guard = {
        "audience": STOCK_AUDIENCE,
        "resource": "/stock",
        "scopes": ["stock.read"],
        "bearer_clients": [],
    }
    with (
        token_service(mesh, serve, home / "tokens-of-all", clients=clients()) as tokens,
        guarded(
            tokens,
            serve,
            mesh.instance("stock"),
            home / "stock",
            app=stock.create_app,
            guard=guard,
            calls={},
        ) as shelves,
        standing(
            mesh,
            serve,
            home,
            app=orders.create_app,
            calls=stock_called(shelves),
            tokens=tokens,
        ) as running,
    ):
        yield running


@pytest.mark.parametrize("client_id", ["storefront", "storefront-jwt"])
def test_a_token_reaches_the_last_service_as_a_chain(
    edge: Edge, client_id: str
) -> None:
    """Each hop adds itself as actor, and the caller stays the subject to the end."""
    answer = edge.get(edge.token(client_id))
    assert answer.status_code == 200, answer.text
    assert answer.json()["caller"] == "gateway"
    assert answer.json()["stock"]["chain"] == ["orders", "gateway", client_id]
