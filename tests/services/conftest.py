"""Fixtures for all tests of `services`: a mesh of identities, and a way to serve.

    def test_something(mesh: Mesh, serve: Serve) -> None:
        orders, storefront = mesh.instance("orders"), mesh.instance("storefront")
        with serve(app, orders) as running:
            ...                       # running.url, running.port

`tests/services/mesh.py` says what the two can do.
"""

import pytest

from tests.services import mesh as building


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> building.Mesh:
    """Return the mesh of trust domain shop.internal, one for all tests."""
    return building.Mesh(tmp_path_factory.mktemp("mesh"))


@pytest.fixture(scope="session")
def foreign_mesh(tmp_path_factory: pytest.TempPathFactory) -> building.Mesh:
    """Return another trust domain with a CA of its own."""
    return building.Mesh(tmp_path_factory.mktemp("foreign"), "other.internal")


@pytest.fixture(scope="session")
def serve() -> building.Serve:
    """Return the context manager that serves an application over mutual TLS."""
    return building.serve
