"""A process whose certificate has ended tries on with it, where there is a grace."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.services.authority import Authority, Front, enrolment
from tests.services.logged import lines
from tests.services.mesh import Instance, Serve, now
from tests.services.renewal.conftest import Host
from tests.services.renewal.test_task import causes, watched

AGE = timedelta(hours=25)  # of a life of 24
GRACE = 7200


@pytest.fixture
def house(tmp_path: Path) -> Authority:
    """Return a CA that was founded before `orders` had its certificate."""
    return Authority(tmp_path, age=AGE + timedelta(hours=1))


@pytest.fixture
def orders(house: Authority) -> Instance:
    """Return an instance that slept past the end of its certificate."""
    return house.instance("orders", age=AGE)


@pytest.fixture
def front(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> Iterator[Front]:
    """Return a front with a grace."""
    with enrolment(house, serve, tmp_path, grace=GRACE) as running:
        yield running


def test_it_renews_by_itself(host: Host, front: Front, tmp_path: Path) -> None:
    """Nobody runs a play: the live port presents a certificate that lasts."""
    home = tmp_path / "watch"
    home.mkdir()
    watch = watched(
        host.instance, home, url=front.url, port=host.config.port, grace=GRACE
    )
    assert host.instance.generation.not_after < now()
    watch.look()
    assert host.instance.generation.not_after > now()


def test_a_ca_that_is_away_is_an_error_now(
    orders: Instance, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody takes the certificate any more, so each failure counts."""
    watched(orders, tmp_path, grace=GRACE).look()
    assert causes(caplog) == [("error", "AuthorityAwayError")]


def test_after_the_grace_it_needs_a_play(
    orders: Instance, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No key is made for it, and the log says for how long it might have been."""
    watch = watched(orders, tmp_path, grace=GRACE)
    watch.clock.moment = orders.generation.not_after + timedelta(seconds=GRACE + 1)
    watch.look()
    assert causes(caplog) == [("error", "ExpiredError")]
    assert "and its grace 7200 s later: run the roll-out" in lines(caplog)[0]["reason"]
    assert not (orders.home / "renewal").exists()
