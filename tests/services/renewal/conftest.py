"""Fixtures of renewal: a CA and its front, and `orders`, whose certificate is due."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from pki.clock import utc_now
from services.config import ServiceConfig
from services.renewal.attempt import Place
from services.renewal.directory import Directory
from services.wire.generation import LiveIdentity
from tests.services.authority import Authority, Front, enrolment
from tests.services.documents import service_config
from tests.services.mesh import Instance, Serve


@pytest.fixture
def house(tmp_path: Path) -> Authority:
    """Return a CA that was founded 23 hours ago."""
    return Authority(tmp_path)


@pytest.fixture
def orders(house: Authority) -> Instance:
    """Return an instance whose certificate is 20 of its 24 hours old."""
    return house.instance("orders", age=timedelta(hours=20))


@pytest.fixture
def front(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> Iterator[Front]:
    """Return the CA's front, started after `orders` had its certificate."""
    with enrolment(house, serve, tmp_path) as running:
        yield running


@dataclass
class Host:
    """The process of `orders`, as far as renewal is concerned."""

    instance: Instance
    identity: LiveIdentity
    config: ServiceConfig

    @property
    def directory(self) -> Directory:
        """Where its identity lies."""
        return Directory(self.instance.current)

    @property
    def place(self) -> Place:
        """What an attempt is given."""
        assert self.config.renewal
        return Place(self.config, self.config.renewal, utc_now, lambda _seconds: False)

    def names(self) -> set[str]:
        """Return what lies in the identity's directory."""
        return {path.name for path in self.instance.home.iterdir()}


async def _healthy(_request: Any) -> Response:
    return Response()


@pytest.fixture
def host(
    front: Front, orders: Instance, serve: Serve, tmp_path: Path
) -> Iterator[Host]:
    """Return orders, served on a port by its live identity."""
    live = orders.live()
    app = Starlette(routes=[Route("/healthz", _healthy)])
    home = tmp_path / "orders"
    home.mkdir()
    with serve(app, live) as running:
        config = service_config(
            home,
            port=running.port,
            identity=str(orders.current),
            renewal={
                "url": front.url,
                "spiffe_id": "spiffe://shop.internal/enrolment",
                "patience": 5,
                "first_pause": 0.1,
                "longest_pause": 1,
            },
        )
        yield Host(orders, live, config)
