"""Fixtures for the tests of `services.state`: a backend of each kind, and stores."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from services.state.store import Store
from tests.services.state.backends import Backend, Clock
from tests.services.state.redis_server import RedisServer


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop that the product runs on."""
    return "asyncio"


@pytest.fixture(scope="session")
def shared_redis() -> Iterator[RedisServer]:
    """Return a server for all tests that leave it alone."""
    with RedisServer.started() as server:
        yield server


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    """Return a server of the test's own, to be killed and paused."""
    with RedisServer.started() as server:
        yield server


@pytest.fixture(params=["sqlite", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Return each kind of backend, empty."""
    if request.param == "sqlite":
        return Backend(tmp_path / "state.sqlite")
    return Backend(request.getfixturevalue("shared_redis").url)


@pytest.fixture
def clock(backend: Backend) -> Clock:
    """Return the clock of the backend's stores."""
    return backend.clock


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Store]:
    """Return a store, as one replica has it."""
    store = backend.open()
    yield store
    await store.aclose()


@pytest.fixture
async def other(backend: Backend) -> AsyncIterator[Store]:
    """Return a second store on the same backend, as another replica has it."""
    store = backend.open()
    yield store
    await store.aclose()
