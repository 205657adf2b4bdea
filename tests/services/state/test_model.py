"""Any order of operations, against a model made of three dictionaries."""

import asyncio
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from services.state.store import AlreadyClaimedError
from tests.services.state.backends import NOON, Backend
from tests.services.state.redis_server import RedisServer

NAMES = st.sampled_from(["a", "b", "c"])
REPLICAS = st.sampled_from([0, 1])
# Ends lie near, so that a few turns of the clock cross them; fractions are rounded.
SECONDS = st.integers(min_value=-20, max_value=60).map(lambda halves: halves / 2)
SECOND = timedelta(seconds=1)


def whole(moment: datetime, *, up: bool) -> datetime:
    """Return the whole second at or beside `moment`."""
    cut = moment.replace(microsecond=0)
    return cut + SECOND if up and cut != moment else cut


class Model(RuleBasedStateMachine):
    """Two replicas on one backend, and what they should say."""

    def __init__(self) -> None:
        super().__init__()
        self.backend = self.new_backend()
        self.runner = asyncio.Runner()
        self.stores = [self.backend.open(), self.backend.open()]
        self.claims: dict[tuple[str, str], datetime] = {}
        self.tokens: dict[str, tuple[bytes, datetime]] = {}
        self.revoked: dict[str, datetime] = {}
        self.versions: dict[tuple[tuple[str, datetime], ...], str] = {}

    def new_backend(self) -> Backend:
        """Return an empty backend of the kind that is tried."""
        raise NotImplementedError

    @property
    def now(self) -> datetime:
        """The present whole second."""
        return whole(self.backend.clock.now, up=False)

    def end(self, seconds: float, *, up: bool) -> datetime:
        """Return an end as a backend should understand it."""
        return whole(self.backend.clock.now + timedelta(seconds=seconds), up=up)

    @rule(seconds=st.integers(min_value=1, max_value=40).map(lambda halves: halves / 2))
    def pass_time(self, seconds: float) -> None:
        """Turn the clock."""
        self.backend.clock.forward(seconds)

    @rule(replica=REPLICAS, purpose=NAMES, key=NAMES, seconds=SECONDS)
    def claim(self, replica: int, purpose: str, key: str, seconds: float) -> None:
        """Claim: it is refused exactly if there is one that is not past its end."""
        until = self.backend.clock.now + timedelta(seconds=seconds)
        held = self.claims.get((purpose, key))
        try:
            self.runner.run(self.stores[replica].claim(purpose, key, until))
        except AlreadyClaimedError:
            assert held is not None
            assert held >= self.now
        else:
            assert held is None or held < self.now
            self.claims[purpose, key] = self.end(seconds, up=True)

    @rule(replica=REPLICAS, handle=NAMES, record=st.binary(max_size=8), seconds=SECONDS)
    def put(self, replica: int, handle: str, record: bytes, seconds: float) -> None:
        """Put a token: the newest counts."""
        until = self.backend.clock.now + timedelta(seconds=seconds)
        self.runner.run(self.stores[replica].put_token(handle, record, until))
        self.tokens[handle] = record, self.end(seconds, up=False)

    @rule(replica=REPLICAS, handle=NAMES)
    def get(self, replica: int, handle: str) -> None:
        """Get a token: its record before its end, nothing from then on."""
        record, until = self.tokens.get(handle, (b"", NOON))
        expected = record if until > self.now else None
        found = self.runner.run(self.stores[replica].get_token(handle))
        assert found == expected

    @rule(replica=REPLICAS, name=NAMES, seconds=SECONDS)
    def revoke(self, replica: int, name: str, seconds: float) -> None:
        """Revoke a token: the latest end counts."""
        until = self.backend.clock.now + timedelta(seconds=seconds)
        self.runner.run(self.stores[replica].revoke(name, until))
        end = self.end(seconds, up=True)
        self.revoked[name] = max(self.revoked.get(name, end), end)

    @rule(replica=REPLICAS, name=NAMES)
    def ask(self, replica: int, name: str) -> None:
        """Ask for one token: void through its end."""
        expected = name in self.revoked and self.revoked[name] >= self.now
        found = self.runner.run(self.stores[replica].is_revoked(name))
        assert found == expected

    @invariant()
    def lists_agree(self) -> None:
        """Both replicas list what is void; a version stands for one content alone."""
        expected = tuple(
            sorted(item for item in self.revoked.items() if item[1] >= self.now)
        )
        for store in self.stores:
            found = self.runner.run(store.revocations())
            assert found.entries == expected
            assert self.versions.setdefault(expected, found.version) == found.version
        assert len(set(self.versions.values())) == len(self.versions)

    def teardown(self) -> None:
        """Close what was opened."""
        for store in self.stores:
            self.runner.run(store.aclose())
        self.runner.close()


def check(kind: type[Model], examples: int) -> None:
    """Try many orders of operations, each on a backend of its own."""
    limits = settings(max_examples=examples, stateful_step_count=40, deadline=None)
    run_state_machine_as_test(kind, settings=limits)


def test_sqlite_does_what_the_model_does() -> None:
    """No order of operations tells a SQLite file from the model."""
    with tempfile.TemporaryDirectory() as directory:

        class OnSqlite(Model):
            def new_backend(self) -> Backend:
                return Backend(Path(directory) / f"{uuid4()}.sqlite")

        check(OnSqlite, 25)


def test_redis_does_what_the_model_does(shared_redis: RedisServer) -> None:
    """No order of operations tells a Redis from the model."""

    class OnRedis(Model):
        def new_backend(self) -> Backend:
            return Backend(shared_redis.url)

    check(OnRedis, 15)
