"""Fixtures of the CA's front: a CA with a ledger, and one running front."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.services.authority import Authority, Front, enrolment
from tests.services.mesh import Instance, Serve

AGED = timedelta(hours=20)


@pytest.fixture
def house(tmp_path: Path) -> Authority:
    """Return a CA that was founded 23 hours ago."""
    return Authority(tmp_path)


@pytest.fixture
def orders(house: Authority) -> Instance:
    """Return an instance whose certificate is 20 of its 24 hours old."""
    return house.instance("orders", age=AGED)


@pytest.fixture
def front(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> Iterator[Front]:
    """Return the CA's front, started after `orders` had its certificate."""
    with enrolment(house, serve, tmp_path) as running:
        yield running
