"""Tests of `services.state.secret`: one secret for all who share a store."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.state.secret import LIFE, SharedSecret
from services.state.store import StateUnavailableError, Store
from tests.services.state.backends import NOON, Backend
from tests.services.state.redis_server import RedisServer

pytestmark = pytest.mark.anyio


async def test_whoever_is_first_makes_it(store: Store, other: Store) -> None:
    """Both replicas know 32 random bytes, the same ones."""
    first = await SharedSecret(store, "x").now(NOON)
    assert len(first) == 32
    assert await SharedSecret(other, "x").now(NOON) == first


async def test_a_race_has_one_winner(store: Store, other: Store) -> None:
    """Twenty who need it at once, at two replicas, all get the one secret."""
    stores = (store, other) * 10
    found = await asyncio.gather(*(SharedSecret(one, "x").now(NOON) for one in stores))
    assert len(set(found)) == 1


async def test_purposes_are_apart(store: Store) -> None:
    """The nonces of one endpoint say nothing of another's."""
    one, two = SharedSecret(store, "one"), SharedSecret(store, "two")
    assert await one.now(NOON) != await two.now(NOON)


async def test_it_changes_at_the_end_of_its_period(
    backend: Backend, store: Store, other: Store
) -> None:
    """Through its last second it stays; then all take the next one together."""
    here, there = SharedSecret(store, "x"), SharedSecret(other, "x")
    first = await here.now(NOON)
    backend.clock.forward(LIFE.total_seconds() - 1)
    assert await here.now(backend.clock()) == first
    assert await there.now(backend.clock()) == first
    backend.clock.forward(1)
    second = await here.now(backend.clock())
    assert second != first
    assert await there.now(backend.clock()) == second


async def test_a_period_is_the_same_for_everybody(store: Store) -> None:
    """Periods are counted from the epoch, not from when a process was started."""
    assert NOON.timestamp() % LIFE.total_seconds() == 0
    secret = SharedSecret(store, "x")
    late = await secret.now(NOON + LIFE - timedelta(seconds=1))
    assert await secret.now(NOON) == late


async def test_it_is_remembered(backend: Backend, store: Store) -> None:
    """What is known needs no store: only who begins, or a new period, asks it."""
    secret = SharedSecret(store, "x")
    first = await secret.now(NOON)
    await store.put_token(_name("x"), b"another", NOON + LIFE)
    assert await secret.now(NOON) == first


async def test_one_that_died_while_making_it_is_not_waited_for_long(
    backend: Backend, store: Store, other: Store
) -> None:
    """Who said that it would write, and did not live to, blocks seconds and no more."""
    dying: Any = Dying(other)
    with pytest.raises(StateUnavailableError, match="died"):
        await SharedSecret(dying, "x").now(NOON)
    with pytest.raises(StateUnavailableError):
        await SharedSecret(store, "x", pause=0).now(NOON)
    backend.clock.forward(6)
    assert await SharedSecret(store, "x", pause=0).now(backend.clock())


class Dying:
    """A store whose replica dies before it has written what it said it would."""

    def __init__(self, store: Store) -> None:
        self.get_token = store.get_token
        self.claim = store.claim

    async def put_token(self, *_: Any) -> None:
        """Die."""
        raise StateUnavailableError("died")


def _name(purpose: str) -> str:
    return f"secret {purpose} {int(NOON.timestamp() // LIFE.total_seconds())}"


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Return a server to be killed."""
    with RedisServer.started() as server:
        yield server


async def test_without_the_store_there_is_none(redis: RedisServer) -> None:
    """It cannot be made up: another replica's nonces would be refused."""
    store = Backend(redis.url).open()
    secret = SharedSecret(store, "x")
    redis.kill()
    with pytest.raises(StateUnavailableError):
        await secret.now(NOON)
    redis.start()
    assert len(await secret.now(NOON)) == 32
    await store.aclose()


async def test_a_closed_directory_is_an_outage(tmp_path: Path) -> None:
    """A file that nobody may make is a store that is away, until it can be made."""
    backend = Backend(tmp_path / "absent" / "state.sqlite")
    store = backend.open()
    with pytest.raises(StateUnavailableError):
        await SharedSecret(store, "x").now(NOON)
    (tmp_path / "absent").mkdir()
    assert await SharedSecret(store, "x").now(NOON)
    await store.aclose()
