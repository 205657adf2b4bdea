"""Fixtures: a gateway before an upstream that tells what it was sent."""

from collections.abc import Iterator

import pytest

from tests.services.gateway.standing import Edge, standing
from tests.services.gateway.upstreams import mirror
from tests.services.mesh import Mesh, Serve


@pytest.fixture(scope="module")
def edge(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Edge]:
    """Return storefront -> gateway -> orders, which mirrors."""
    home = tmp_path_factory.mktemp("edge")
    origins = ["https://gateway.shop.internal"]
    with standing(mesh, serve, home, app=mirror, origins=origins) as running:
        yield running
