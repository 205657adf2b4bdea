"""Tests of `services.enrolment.queue`: who waits, and for how long."""

import asyncio
from threading import Event

import pytest

from services.enrolment.errors import BusyError, UnavailableError
from services.enrolment.queue import Queue


def test_work_is_done_elsewhere_and_its_result_comes_back() -> None:
    """Errors, too."""

    def fail() -> None:
        raise UnavailableError("no CA")

    async def ask() -> int:
        queue = Queue()
        with pytest.raises(UnavailableError, match="no CA"):
            await queue.do(fail, most=1)
        return await queue.do(lambda: 7, most=1)

    assert asyncio.run(ask()) == 7


def test_whoever_is_beyond_the_bound_is_told_at_once() -> None:
    """The place is free again when the work is done, and not before."""

    async def ask() -> None:
        queue, go = Queue(), Event()
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
        queue, go = Queue(patience=0.01), Event()
        with pytest.raises(UnavailableError, match="no answer"):
            await queue.do(go.wait, most=1)
        with pytest.raises(BusyError):
            await queue.do(go.wait, most=1)
        go.set()

    asyncio.run(ask())
