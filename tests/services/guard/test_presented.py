"""Tests of `services.guard.presented`: the token behind a grant, while it is asked."""

import asyncio

import pytest
from msgspec.structs import replace

from pki.clock import utc_now
from services.guard.grant import Grant
from services.guard.presented import ForeignGrantError, presenting, token_behind
from tests.services.mesh import Mesh
from tests.services.peers import peer


@pytest.fixture
def grant(mesh: Mesh) -> Grant:
    """Return the grant of a request."""
    return Grant(
        client_id="storefront",
        subject="storefront",
        scopes=frozenset(),
        audience="orders",
        expires_at=utc_now(),
        token_id="1",
        bound=True,
        peer=peer(mesh, "storefront"),
    )


def test_during_its_request_a_grant_has_a_token(grant: Grant) -> None:
    """For the exchange, and only as long as the answer takes."""
    with presenting(grant, "the token"):
        assert token_behind(grant) == "the token"
    with pytest.raises(ForeignGrantError):
        token_behind(grant)


def test_a_grant_that_only_looks_the_same_has_none(grant: Grant) -> None:
    """A copy was not given by the guard."""
    copy = replace(grant)
    assert copy == grant
    with presenting(grant, "the token"), pytest.raises(ForeignGrantError):
        token_behind(copy)


def test_the_grant_of_another_request_has_none(grant: Grant) -> None:
    """Two requests at once do not see each other's tokens."""
    other = replace(grant, token_id="2")

    async def request(own: Grant, foreign: Grant, barrier: asyncio.Barrier) -> None:
        with presenting(own, own.token_id):
            await barrier.wait()
            assert token_behind(own) == own.token_id
            with pytest.raises(ForeignGrantError):
                token_behind(foreign)
            await barrier.wait()

    async def both() -> None:
        barrier = asyncio.Barrier(2)
        await asyncio.gather(
            request(grant, other, barrier), request(other, grant, barrier)
        )

    asyncio.run(both())


def test_a_task_that_outlives_its_request_has_none(grant: Grant) -> None:
    """It was started while the token was there, and asks when the answer is sent."""

    async def running() -> None:
        over = asyncio.Event()

        async def later() -> None:
            assert token_behind(grant) == "the token"
            started.set()
            await over.wait()
            with pytest.raises(ForeignGrantError):
                token_behind(grant)

        started = asyncio.Event()
        with presenting(grant, "the token"):
            task = asyncio.create_task(later())
            await started.wait()
        over.set()
        await task

    asyncio.run(running())


def test_a_request_that_fails_ends_it_too(grant: Grant) -> None:
    """An error of the application does not leave the token behind."""
    with pytest.raises(RuntimeError), presenting(grant, "the token"):
        raise RuntimeError
    with pytest.raises(ForeignGrantError):
        token_behind(grant)
