"""Tests of `services.token.client_keys`: asked for again, but not at anybody's pace."""

import asyncio
import json
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from services.registration.methods import Jwks, KeySource, PrivateKeyJwt
from services.token.client_keys import (
    MAX_AGE,
    REFETCH_INTERVAL,
    ClientKeys,
    ClientKeysUnavailableError,
    Keys,
)
from services.wire.web import UnreachableError
from tests.services.proofs import Prover
from tests.services.running import Clock

T = TypeVar("T")
PUBLISHED = PrivateKeyJwt(jwks_uri="https://client.example/jwks")
MOMENT = timedelta(milliseconds=1)


class Publisher:
    """A client that publishes keys, or is away."""

    def __init__(self, *key_ids: str) -> None:
        self.key_ids = list(key_ids)
        self.away = False
        self.asked = 0

    async def __call__(self, source: KeySource) -> bytes:
        """Answer."""
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise UnreachableError("away")
        keys = [{**Prover().public(), "kid": key_id} for key_id in self.key_ids]
        return json.dumps({"keys": keys}).encode()


def ids(keys: Keys) -> list[str | None]:
    """Return the ids of keys."""
    return [key.key_id for key in keys]


def run(work: Awaitable[T]) -> T:
    """Return what `work` comes to."""

    async def wait() -> T:
        return await work

    return asyncio.run(wait())


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands."""
    return Clock()


def test_registered_keys_are_never_asked_for(clock: Clock) -> None:
    """What the registration says is all there is."""
    publisher = Publisher()
    jwks: Any = Jwks(keys=({**Prover().public(), "kid": "one"},))
    keys = ClientKeys(PrivateKeyJwt(jwks=jwks), publisher, clock)
    clock.move(days=1)
    assert ids(run(keys.current())) == ids(run(keys.refresh())) == ["one"]
    assert publisher.asked == 0


def test_published_keys_are_asked_for_once(clock: Clock) -> None:
    """They are kept for as long as they are young."""
    publisher = Publisher("one")
    keys = ClientKeys(PUBLISHED, publisher, clock)
    assert keys.last_known == ()
    assert ids(run(keys.current())) == ["one"]
    clock.moment += MAX_AGE - MOMENT
    assert ids(run(keys.current())) == ["one"]
    assert publisher.asked == 1


def test_a_withdrawn_key_is_not_believed_for_long(clock: Clock) -> None:
    """After `MAX_AGE` they are asked for again."""
    publisher = Publisher("one")
    keys = ClientKeys(PUBLISHED, publisher, clock)
    run(keys.current())
    publisher.key_ids = ["two"]
    clock.moment += MAX_AGE
    assert ids(run(keys.current())) == ["two"]


def test_a_miss_asks_again_but_not_at_once(clock: Clock) -> None:
    """Whoever sends what cannot be found does not set the pace."""
    publisher = Publisher("one")
    keys = ClientKeys(PUBLISHED, publisher, clock)
    run(keys.current())
    publisher.key_ids = ["one", "two"]
    clock.moment += REFETCH_INTERVAL - MOMENT
    assert ids(run(keys.refresh())) == ["one"]
    clock.moment += MOMENT
    assert ids(run(keys.refresh())) == ["one", "two"]
    assert publisher.asked == 2


def test_many_misses_at_once_ask_once(clock: Clock) -> None:
    """Requests that come together wait for one answer."""
    publisher = Publisher("one")
    keys = ClientKeys(PUBLISHED, publisher, clock)

    async def many() -> list[Keys]:
        return await asyncio.gather(*(keys.current() for _ in range(20)))

    assert all(ids(found) == ["one"] for found in run(many()))
    assert publisher.asked == 1


def test_young_keys_outlive_an_outage(clock: Clock) -> None:
    """A publisher that is away for a while is no reason to refuse its client."""
    publisher = Publisher("one")
    keys = ClientKeys(PUBLISHED, publisher, clock)
    run(keys.current())
    publisher.away = True
    clock.moment += REFETCH_INTERVAL
    assert ids(run(keys.refresh())) == ["one"]
    assert ids(run(keys.current())) == ["one"]


def test_old_keys_do_not_outlive_an_outage(clock: Clock) -> None:
    """Unknown is no: whether they still count cannot be said."""
    publisher = Publisher("one")
    keys = ClientKeys(PUBLISHED, publisher, clock)
    run(keys.current())
    publisher.away = True
    clock.moment += MAX_AGE
    with pytest.raises(ClientKeysUnavailableError):
        run(keys.current())
    publisher.away = False
    clock.moment += REFETCH_INTERVAL
    assert ids(run(keys.current())) == ["one"]


def test_a_document_that_is_none_is_an_outage(clock: Clock) -> None:
    """What cannot be read replaces nothing."""

    async def nonsense(source: KeySource) -> bytes:
        return b"<html>"

    keys = ClientKeys(PUBLISHED, nonsense, clock)
    with pytest.raises(ClientKeysUnavailableError):
        run(keys.current())


def test_a_clock_put_back_asks_again(clock: Clock) -> None:
    """An answer from the future is not young."""
    publisher = Publisher("one")
    keys = ClientKeys(PUBLISHED, publisher, clock)
    run(keys.current())
    clock.move(hours=-1)
    run(keys.current())
    assert publisher.asked == 2
