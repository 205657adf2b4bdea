"""Tests of `services.buckets`: how often each may ask."""

from datetime import timedelta

import pytest

from services.buckets import Buckets
from services.rates import Rate

RATE = Rate(per_second=2, burst=3)


class Seconds:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    """Return the time as a test wants it."""
    return Seconds()


@pytest.fixture
def buckets(seconds: Seconds) -> Buckets:
    """Return buckets that nobody has taken from."""
    return Buckets(most=3, monotonic=seconds)


def taken(buckets: Buckets, name: str = "orders", rate: Rate = RATE) -> int:
    """Return how many can be taken now."""
    count = 0
    while buckets.take(name, rate) is None:
        count += 1
    return count


def test_a_burst_is_let_through(buckets: Buckets) -> None:
    """After a rest there are as many at once as the burst allows."""
    assert taken(buckets) == 3


def test_an_empty_bucket_says_when_it_gives_again(
    buckets: Buckets, seconds: Seconds
) -> None:
    """The wait is in whole seconds, rounded up, and it is enough."""
    taken(buckets)
    slow = Rate(per_second=0.3, burst=3)
    wait = buckets.take("orders", slow)
    assert wait == timedelta(seconds=4)
    seconds.now += wait.total_seconds()
    assert buckets.take("orders", slow) is None


def test_it_fills_as_time_passes_and_no_higher_than_the_burst(
    buckets: Buckets, seconds: Seconds
) -> None:
    """Two a second, three at most."""
    taken(buckets)
    seconds.now += 1
    assert taken(buckets) == 2
    seconds.now += 1000
    assert taken(buckets) == 3


def test_who_is_refused_loses_nothing(buckets: Buckets, seconds: Seconds) -> None:
    """Asking too early does not put off the moment when it is right."""
    taken(buckets)
    for _ in range(10):
        seconds.now += 0.05
        assert (buckets.take("orders", RATE) is None) == (seconds.now >= 1000.5)


def test_each_name_has_a_bucket_of_its_own(buckets: Buckets) -> None:
    """Whoever asks too often is alone in that."""
    taken(buckets)
    assert taken(buckets, "stock") == 3


def test_a_new_rate_counts_at_once(buckets: Buckets) -> None:
    """A smaller burst takes away what is above it."""
    buckets.take("orders", Rate(per_second=1, burst=100))
    assert taken(buckets) == 3


def test_the_table_is_bounded(buckets: Buckets) -> None:
    """Of too many names the one goes that has not asked for longest."""
    for name in ("a", "b", "c"):
        taken(buckets, name)
    buckets.take("a", RATE)
    buckets.take("d", RATE)
    assert len(buckets) == 3
    assert taken(buckets, "a") == 0
    assert taken(buckets, "b") == 3


def test_what_is_put_back_can_be_taken_again(buckets: Buckets) -> None:
    """As often as it was put back, and never above the burst."""
    taken(buckets)
    buckets.put_back("orders")
    assert taken(buckets) == 1
    for _ in range(10):
        buckets.put_back("orders")
    assert taken(buckets) == 3


def test_a_bucket_that_has_gone_takes_nothing_back(buckets: Buckets) -> None:
    """It would be full anyway when its name comes again."""
    buckets.put_back("orders")
    assert len(buckets) == 0
    assert taken(buckets) == 3
