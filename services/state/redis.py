"""Shared state in Redis, for replicas on several hosts.

Each operation is one command or one script, so it is atomic, and asked once: a claim
that was sent twice by a zealous client would refuse itself. All go over one connection
(`redis_line`); after any failure the next operation connects anew.

A Redis that forgets would let a replay pass, so each new connection asks the server
whether it keeps what it is given: it must be a primary, write an append-only file
(`appendonly yes`) and evict nothing (`maxmemory-policy noeviction`). Killed and started
again, it then has every answered write. What this does not prove: a power cut takes the
last second of the file unless `appendfsync always` is set, and a failover to a replica
takes what had not reached it. The user needs the commands EVAL, GET, SET, PING, INFO
and those on sorted sets.

Redis' own expiry only clears away, counted from when the caller wrote: whether
something is over is decided by the caller's clock.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from pki.clock import utc_now
from services.state.entry import digest, id_to_bytes, over_after, over_from, second_of
from services.state.feed import Feed, new_revision
from services.state.redis_line import Line
from services.state.store import (
    GRACE,
    PATIENCE,
    AlreadyClaimedError,
    Revocations,
    StateUnavailableError,
)

# What it is called on the server, what it must be there, and what to set.
_DEMANDS = {
    "role": ("master", "connect to the primary"),
    "aof_enabled": ("1", "set `appendonly yes`"),
    "maxmemory_policy": ("noeviction", "set `maxmemory-policy noeviction`"),
}
_CLAIM = """
local over = redis.call('GET', KEYS[1])
if over and tonumber(over) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""
_REVOKE = """
local known = redis.call('ZSCORE', KEYS[1], ARGV[1])
if known and tonumber(known) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('SET', KEYS[2], ARGV[3])
local past = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[4], 'BYSCORE', 'LIMIT', 0, 128)
if #past > 0 then redis.call('ZREM', KEYS[1], unpack(past)) end
return 1
"""
_FEED = """
local revision = redis.call('GET', KEYS[2]) or ''
if revision == ARGV[1] then return {revision, {}} end
return {revision, redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')}
"""


class RedisStore:
    """A `Store` in the Redis at `url`, under keys that begin with the scope."""

    def __init__(
        self,
        url: str,
        *,
        scope: str,
        clock: Callable[[], datetime] = utc_now,
        patience: timedelta = PATIENCE,
        password: str | None = None,
    ) -> None:
        """Touch nothing yet: the first operation connects.

        Args:
            url: as `open_store` has checked it; it may hold a password.
            scope: the issuer whose state this is.
            clock: the present moment.
            patience: how long an operation may take, and connecting before it.
            password: of the URL's user, if it is not in the URL.
        """
        self._prefix = f"certbound:{scope}:".encode()
        self._clock = clock
        self._patience = patience.total_seconds()
        self._pool = ConnectionPool.from_url(
            url,
            password=password,
            # One bound for all steps of connecting, in `_connected`.
            socket_timeout=None,
            socket_connect_timeout=None,
            retry=Retry(NoBackoff(), 0),
            redis_connect_func=_connect,
            protocol=2,
        )
        self._line: Line | None = None
        self._connecting = asyncio.Lock()
        self._feed = Feed()

    async def claim(self, purpose: str, key: str, until: datetime) -> None:
        """Use `key` for the first time."""
        now, over = second_of(self._clock), over_after(until)
        name = self._name(b"claim:", digest(purpose, key))
        ends = (now, over, _lifetime(over, now))
        if not await self._ask("EVAL", _CLAIM, 1, name, *ends):
            raise AlreadyClaimedError(f"{purpose} was used before")

    async def put_token(self, handle: str, record: bytes, until: datetime) -> None:
        """Keep `record` for whoever shows `handle`."""
        now, over = second_of(self._clock), over_from(until)
        name = self._name(b"token:", digest(handle))
        value = b"%d:%b" % (over, record)
        await self._ask("SET", name, value, "EX", _lifetime(over, now))

    async def get_token(self, handle: str) -> bytes | None:
        """Return the record of an opaque token."""
        value: bytes | None = await self._ask(
            "GET", self._name(b"token:", digest(handle))
        )
        if value is None:
            return None
        over, _, record = value.partition(b":")
        return record if int(over) > second_of(self._clock) else None

    async def revoke(self, token_id: str, until: datetime) -> None:
        """Void a token."""
        row = (id_to_bytes(token_id), over_after(until))
        oldest = second_of(self._clock) - int(GRACE.total_seconds())
        keys = self._revocation_keys()
        await self._ask("EVAL", _REVOKE, 2, *keys, *row, new_revision(), oldest)

    async def is_revoked(self, token_id: str) -> bool:
        """Tell whether a token is void."""
        name, _ = self._revocation_keys()
        over: bytes | None = await self._ask("ZSCORE", name, id_to_bytes(token_id))
        return over is not None and float(over) > second_of(self._clock)

    async def revocations(self) -> Revocations:
        """Return every token that is void now."""
        keys = self._revocation_keys()
        feed = self._feed  # another call may replace it while this one waits
        revision, flat = await self._ask("EVAL", _FEED, 2, *keys, feed.revision)
        if revision.decode() != feed.revision:
            rows = zip(flat[::2], map(int, flat[1::2]), strict=True)
            feed = self._feed = Feed(revision.decode(), rows)
        return feed.at(second_of(self._clock))

    async def ping(self) -> None:
        """Return if the server answers; it does not while its disk refuses writes."""
        await self._ask("PING")

    async def aclose(self) -> None:
        """Close the connection."""
        line, self._line = self._line, None
        if line is not None:
            await line.aclose()

    def _name(self, kind: bytes, hashed: bytes) -> bytes:
        return self._prefix + kind + hashed

    def _revocation_keys(self) -> tuple[bytes, bytes]:
        return self._prefix + b"revocations", self._prefix + b"revision"

    async def _ask(self, *command: str | bytes | int) -> Any:
        """Send one command and return the answer.

        Raises:
            StateUnavailableError: there is no answer in time, or it is an error.
        """
        try:
            line = self._line
            if line is None or not line.is_open:
                line = await self._connected()
            return await line.ask(*command)
        except TimeoutError as error:
            raise StateUnavailableError(
                f"Redis: no answer in {self._patience} s"
            ) from error
        except (RedisError, OSError) as error:
            raise StateUnavailableError(
                f"Redis: {type(error).__name__}: {error}"
            ) from error

    async def _connected(self) -> Line:
        async with asyncio.timeout(self._patience), self._connecting:
            if self._line is None or not self._line.is_open:  # nobody was faster
                connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
                try:
                    await connection.connect()
                except BaseException:
                    await connection.disconnect(nowait=True)
                    raise
                self._line = Line(connection, self._patience)
            return self._line


def _lifetime(over: int, now: int) -> int:
    """Return for how many seconds Redis keeps what is over at `over`."""
    return max(over - now, 0) + int(GRACE.total_seconds())


async def _connect(connection: AbstractConnection) -> None:
    """Introduce ourselves, and refuse a server that would forget."""
    await connection.on_connect()
    await connection.send_command("INFO")
    report = (await connection.read_response()).decode()
    told = dict(line.split(":", 1) for line in report.splitlines() if ":" in line)
    for name, (expected, advice) in _DEMANDS.items():
        if told.get(name) != expected:
            raise RedisConnectionError(
                f"{name} is {told.get(name)}, not {expected}: {advice}"
            )
