"""Tests of `services.guard.revocations`: how old a list of void tokens may be."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from services.guard.revocations import (
    BOUND,
    POLL,
    RevocationList,
    RevocationsUnknownError,
    VoidTokens,
)
from services.proof.errors import RevokedTokenError
from tests.services.logged import lines
from tests.services.running import Clock

SECOND = timedelta(seconds=1)


@dataclass
class Publisher:
    """A token service that answers as it is told, and notes what it was asked."""

    clock: Clock = field(default_factory=Clock)
    void: frozenset[str] = frozenset()
    tag: str = '"1"'
    away: bool = False
    slow: asyncio.Event | None = None
    asked: list[str | None] = field(default_factory=list)

    def revoke(self, token_id: str) -> None:
        """Publish a further one."""
        self.void |= {token_id}
        self.tag = f'"{len(self.void) + 1}"'

    async def __call__(self, known: str | None) -> VoidTokens | None:
        """Answer."""
        self.asked.append(known)
        void, tag = self.void, self.tag
        if self.slow is not None:
            await self.slow.wait()
        if self.away:
            raise RevocationsUnknownError("no answer")
        return None if known == tag else VoidTokens(tag, void)


def judge(work: Callable[[RevocationList, Publisher], Awaitable[Any]]) -> Publisher:
    """Let `work` use a list that was never asked for."""
    publisher = Publisher()

    async def running() -> None:
        await work(RevocationList(publisher, publisher.clock), publisher)

    asyncio.run(running())
    return publisher


async def settle() -> None:
    """Let what was begun in the background come to its end."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_the_first_request_waits_for_the_list() -> None:
    """Nothing is let through before it is known what is void."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        publisher.revoke("bad")
        await void.check("good")
        with pytest.raises(RevokedTokenError):
            await void.check("bad")

    assert judge(work).asked == [None]


def test_a_young_list_is_not_asked_for_again() -> None:
    """One question a second, however many requests."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        await void.check("a")
        publisher.clock.moment += POLL - SECOND / 10
        for _ in range(100):
            await void.check("a")

    assert len(judge(work).asked) == 1


def test_an_older_list_is_renewed_behind_the_request() -> None:
    """The request does not wait, and the next one sees what is new."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        await void.check("a")
        publisher.revoke("a")
        publisher.clock.moment += POLL
        await void.check("a")
        await settle()
        with pytest.raises(RevokedTokenError):
            await void.check("a")

    assert judge(work).asked == [None, '"1"']


def test_a_list_at_the_bound_is_waited_for() -> None:
    """Five seconds after a revocation no request passes any more."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        await void.check("a")
        publisher.revoke("a")
        publisher.clock.moment += BOUND
        with pytest.raises(RevokedTokenError):
            await void.check("a")

    assert timedelta(seconds=5) == BOUND
    judge(work)


def test_without_an_answer_it_serves_until_the_bound() -> None:
    """A short outage is bridged, a longer one closes the door, and it heals."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        await void.check("a")
        publisher.away = True
        publisher.clock.moment += BOUND - SECOND / 10
        await void.check("a")
        await settle()
        publisher.clock.moment += SECOND / 10
        for _ in range(2):
            with pytest.raises(RevocationsUnknownError):
                await void.check("a")
        publisher.away = False
        await void.check("a")

    judge(work)


def test_without_a_first_answer_nothing_passes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An empty list that nobody sent is no list."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        publisher.away = True
        with pytest.raises(RevocationsUnknownError):
            await void.check("a")

    judge(work)
    assert lines(caplog)[-1]["event"] == "revocations.unknown"


def test_nothing_new_makes_the_list_young_again() -> None:
    """An answer that nothing changed is as good as the list."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        publisher.revoke("bad")
        await void.check("a")
        publisher.clock.moment += BOUND
        await void.check("a")
        publisher.clock.moment += BOUND - SECOND
        await void.check("a")
        with pytest.raises(RevokedTokenError):
            await void.check("bad")

    assert judge(work).asked[:2] == [None, '"2"']


def test_an_answer_is_as_old_as_its_question() -> None:
    """What was revoked while it travelled is not in it: a slow one is no news."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        publisher.slow = asyncio.Event()
        waiting = asyncio.ensure_future(void.check("a"))
        await settle()
        publisher.revoke("a")
        publisher.clock.moment += BOUND
        publisher.slow.set()
        with pytest.raises(RevocationsUnknownError):
            await waiting
        with pytest.raises(RevokedTokenError):
            await void.check("a")

    judge(work)


def test_requests_that_come_together_ask_once() -> None:
    """One question for all of them, at the start and at the bound."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        for _ in range(2):
            await asyncio.gather(*(void.check("a") for _ in range(50)))
            publisher.clock.moment += BOUND

    assert len(judge(work).asked) == 2


def test_a_caller_who_hangs_up_does_not_take_the_list_along() -> None:
    """The others who wait for the same answer get it."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        publisher.slow = asyncio.Event()
        gone, stays = (asyncio.ensure_future(void.check("a")) for _ in range(2))
        await settle()
        gone.cancel()
        await settle()
        publisher.slow.set()
        await stays

    assert len(judge(work).asked) == 1


def test_a_clock_that_went_back_makes_the_list_unknown() -> None:
    """Its age cannot be told, so it is asked for again."""

    async def work(void: RevocationList, publisher: Publisher) -> None:
        await void.check("a")
        publisher.revoke("a")
        publisher.clock.moment -= SECOND
        with pytest.raises(RevokedTokenError):
            await void.check("a")

    judge(work)
