"""Tests of `services.enrolment.queue`: who waits, and for how long."""

import asyncio
from collections.abc import Sequence
from threading import Event

import pytest

from services.enrolment.errors import BusyError, UnavailableError
from services.enrolment.queue import Queue


def nobody() -> Queue[int, int]:
    """Return a queue for other work than wishes."""
    return Queue(list)


def test_work_is_done_elsewhere_and_its_result_comes_back() -> None:
    """Errors, too."""

    def fail() -> None:
        raise UnavailableError("no CA")

    async def ask() -> int:
        queue = nobody()
        with pytest.raises(UnavailableError, match="no CA"):
            await queue.do(fail, most=1)
        return await queue.do(lambda: 7, most=1)

    assert asyncio.run(ask()) == 7


def test_whoever_is_beyond_the_bound_is_told_at_once() -> None:
    """The place is free again when the work is done, and not before."""

    async def ask() -> None:
        queue, go = nobody(), Event()
        first = asyncio.ensure_future(queue.do(go.wait, most=1))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await queue.do(go.wait, most=1)
        go.set()
        assert await first
        assert await queue.do(go.wait, most=1)

    asyncio.run(ask())


def test_nobody_waits_for_ever() -> None:
    """The work goes on, and still counts as waiting."""

    async def ask() -> None:
        queue: Queue[int, int] = Queue(list, patience=0.01)
        go = Event()
        with pytest.raises(UnavailableError, match="no answer"):
            await queue.do(go.wait, most=1)
        with pytest.raises(BusyError):
            await queue.do(go.wait, most=1)
        go.set()

    asyncio.run(ask())


def test_who_came_while_the_thread_was_at_work_is_served_together() -> None:
    """The first alone, the others at once; each gets what is its own."""
    go, batches = Event(), list[Sequence[int]]()

    def serve(wishes: Sequence[int]) -> list[int | Exception]:
        batches.append(wishes)
        go.wait()
        return [UnavailableError("odd") if wish % 2 else 10 * wish for wish in wishes]

    async def ask() -> list[int | BaseException]:
        queue = Queue(serve)
        asked = [asyncio.ensure_future(queue.ask(wish, most=9)) for wish in range(4)]
        await asyncio.sleep(0)
        go.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    even, odd, six, last = asyncio.run(ask())
    assert (even, six) == (0, 20)
    assert isinstance(odd, UnavailableError)
    assert isinstance(last, UnavailableError)
    assert [list(batch) for batch in batches] == [[0], [1, 2, 3]]


def test_nobody_is_served_beyond_the_bound() -> None:
    """Whoever waits for a batch counts, as whoever is in one does."""

    async def ask() -> None:
        go = Event()
        queue: Queue[int, bool] = Queue(lambda wishes: [go.wait() for _ in wishes])
        asked = [asyncio.ensure_future(queue.ask(wish, most=2)) for wish in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await queue.ask(2, most=2)
        go.set()
        assert await asyncio.gather(*asked) == [True, True]

    asyncio.run(ask())


def test_what_fails_whole_fails_for_each() -> None:
    """And the next who ask are served."""

    def serve(wishes: Sequence[int]) -> list[int]:
        return [1 // wish for wish in wishes]

    async def ask() -> None:
        queue = Queue(serve)
        with pytest.raises(ZeroDivisionError):
            await queue.ask(0, most=1)
        assert await queue.ask(1, most=1) == 1

    asyncio.run(ask())
