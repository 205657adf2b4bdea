"""Fixtures of the tests behind proxies: what stands, and a token to steal."""

import json
from collections.abc import Iterator

import pytest

from tests.services.mesh import Instance, Mesh
from tests.services.proxies import raw
from tests.services.proxies.programs import KINDS, find
from tests.services.proxies.standing import Origins, Standing, standing


@pytest.fixture(scope="session")
def origins(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origins]:
    """Return token service and orders, with every proxy that can be had in front."""
    with standing(mesh, tmp_path_factory.mktemp("proxies"), KINDS) as made:
        yield made


@pytest.fixture(scope="session", params=KINDS)
def proxy(request: pytest.FixtureRequest, origins: Origins) -> Standing:
    """Return each of the proxies."""
    find(request.param)
    return origins.proxies[request.param]


@pytest.fixture(scope="session")
def storefront(mesh: Mesh) -> Instance:
    """Return the service that is robbed."""
    return mesh.instance("storefront")


@pytest.fixture(scope="session")
def stock(mesh: Mesh) -> Instance:
    """Return the service that steals."""
    return mesh.instance("stock")


@pytest.fixture(scope="session")
def stolen(origins: Origins, storefront: Instance) -> str:
    """Return a token that storefront got from the token service itself."""
    return token(origins.services["token-service"], storefront)


@pytest.fixture(scope="session")
def own(origins: Origins, stock: Instance) -> str:
    """Return a token that the thief got for himself."""
    return token(origins.services["token-service"], stock)


def token(server: Standing, client: Instance) -> str:
    """Return a token for orders, asked for at the token service or at a proxy of it."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client.service,
        "resource": "https://orders.shop.internal",
        "scope": "orders.read",
    }
    context = raw.as_instance(client, server.instance.spiffe_id)
    answer = raw.send(server.ports["token-service"], context, "/token", form=form)
    assert answer.status == 200, answer.body
    text = json.loads(answer.body)["access_token"]
    assert isinstance(text, str)
    return text
