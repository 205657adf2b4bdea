"""Shared state in one SQLite file, for all processes of one host.

Operations run on the event loop itself: one takes microseconds, less than handing it to
a thread. What could take longer does not block: SQLite never waits for another process
that is writing, we do, without holding up other requests.

How durable a write is, is decided by what its loss would do. A process that is killed
loses nothing; only a power cut can take what was not flushed to the disk.

- A revocation is flushed before `revoke` returns (a few hundred microseconds on an SSD,
  rarely asked for): a token that was void must not come back to life.
- An opaque token is not: without its record it is refused.
- A claim is not, though every request makes one: a flush would cost twenty times the
  claim. What a power cut takes are the claims of some seconds; whoever held a proof of
  those seconds could use it again if the host is back before the proof is too old.

What is over is removed by those who write: every `_PURGE_EVERY` writes at most
`_PURGE_AT_MOST` rows of each table, so nothing piles up and no write takes long.
"""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pki.clock import utc_now
from services.state.database import connect, is_busy, transaction
from services.state.entry import digest, id_to_bytes, over_after, over_from, second_of
from services.state.feed import Feed, new_revision
from services.state.store import (
    GRACE,
    PATIENCE,
    AlreadyClaimedError,
    Revocations,
    StateUnavailableError,
)

T = TypeVar("T")

_CLAIM = (
    "INSERT INTO claim VALUES (?1, ?2) ON CONFLICT (name)"
    " DO UPDATE SET over = excluded.over WHERE claim.over <= ?3"
)
_PUT = (
    "INSERT INTO token VALUES (?1, ?2, ?3) ON CONFLICT (name)"
    " DO UPDATE SET over = excluded.over, record = excluded.record"
)
_REVOKE = (
    "INSERT INTO revocation VALUES (?1, ?2) ON CONFLICT (name)"
    " DO UPDATE SET over = excluded.over WHERE revocation.over < excluded.over"
)
_PURGES = tuple(
    f"DELETE FROM {table} WHERE name IN"  # noqa: S608 - our own names
    f" (SELECT name FROM {table} WHERE over <= ?1 LIMIT ?2)"
    for table in ("claim", "token", "revocation")
)
_PURGE_EVERY = 32  # writes
_PURGE_AT_MOST = 128  # rows: four for each one written, so it always catches up
_LONGEST_WAIT = 4  # milliseconds between two attempts while another process writes


class SqliteStore:
    """A `Store` in the file at `path`, which is made, private, if it is missing."""

    def __init__(
        self,
        path: Path,
        *,
        scope: str,
        clock: Callable[[], datetime] = utc_now,
        patience: timedelta = PATIENCE,
    ) -> None:
        """Touch nothing yet: the file is opened by the first operation.

        Args:
            path: absolute; its directory exists, on a local disk.
            scope: the issuer whose state this is; the file of another is refused.
            clock: the present moment.
            patience: how long to wait for other processes that are writing.
        """
        self._path = path
        self._scope = scope
        self._clock = clock
        self._patience = patience.total_seconds()
        self._connection: sqlite3.Connection | None = None
        self._writes = 0
        self._feed = Feed()

    async def claim(self, purpose: str, key: str, until: datetime) -> None:
        """Use `key` for the first time."""
        row = (digest(purpose, key), over_after(until), second_of(self._clock))
        if not await self._write(lambda db: db.execute(_CLAIM, row).rowcount):
            raise AlreadyClaimedError(f"{purpose} was used before")

    async def put_token(self, handle: str, record: bytes, until: datetime) -> None:
        """Keep `record` for whoever shows `handle`."""
        row = (digest(handle), over_from(until), record)
        await self._write(lambda db: db.execute(_PUT, row))

    async def get_token(self, handle: str) -> bytes | None:
        """Return the record of an opaque token."""
        query = "SELECT record FROM token WHERE name = ? AND over > ?"
        values = (digest(handle), second_of(self._clock))
        row = await self._run(lambda db: db.execute(query, values).fetchone())
        return row[0] if row else None

    async def revoke(self, token_id: str, until: datetime) -> None:
        """Void a token."""
        row = (id_to_bytes(token_id), over_after(until))
        await self._write(lambda db: _revoke(db, row))

    async def is_revoked(self, token_id: str) -> bool:
        """Tell whether a token is void."""
        query = "SELECT 1 FROM revocation WHERE name = ? AND over > ?"
        values = (id_to_bytes(token_id), second_of(self._clock))
        row = await self._run(lambda db: db.execute(query, values).fetchone())
        return row is not None

    async def revocations(self) -> Revocations:
        """Return every token that is void now."""
        self._feed = await self._run(lambda db: _read_feed(db, self._feed))
        return self._feed.at(second_of(self._clock))

    async def ping(self) -> None:
        """Return if the file took a write just now: opened is not yet writable."""
        # Counted, since SQLite does not write a row that stays as it is.
        query = "UPDATE state SET pings = pings + 1"
        await self._run(lambda db: db.execute(query))

    async def aclose(self) -> None:
        """Close the file."""
        self._close()

    async def _write(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        self._writes += 1
        if self._writes % _PURGE_EVERY == 0:
            await self._run(self._purge)
        return await self._run(operation)

    def _purge(self, db: sqlite3.Connection) -> None:
        oldest = second_of(self._clock) - int(GRACE.total_seconds())
        for statement in _PURGES:
            db.execute(statement, (oldest, _PURGE_AT_MOST))

    async def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Do `operation`, again while another process is writing.

        Raises:
            StateUnavailableError: it fails, or the other process does not stop.
        """
        deadline: float | None = None
        while True:
            try:
                return operation(self._opened())
            except (sqlite3.Error, OSError) as error:
                busy = is_busy(error)
                if not busy:
                    self._close()  # the next operation finds out whether it is mended
                now = asyncio.get_running_loop().time()
                deadline = deadline or now + self._patience
                if not busy or now >= deadline:
                    raise StateUnavailableError(f"{self._path}: {error}") from error
            await asyncio.sleep((1 + secrets.randbelow(_LONGEST_WAIT)) / 1000)

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self._path, self._scope)
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _revoke(db: sqlite3.Connection, row: tuple[bytes, int]) -> None:
    db.execute("PRAGMA synchronous = FULL")
    try:
        with transaction(db, "IMMEDIATE"):
            if db.execute(_REVOKE, row).rowcount:
                db.execute("UPDATE state SET revision = ?", (new_revision(),))
    finally:
        db.execute("PRAGMA synchronous = NORMAL")


def _read_feed(db: sqlite3.Connection, feed: Feed) -> Feed:
    with transaction(db, "DEFERRED"):  # one snapshot for both questions
        [(revision,)] = db.execute("SELECT revision FROM state").fetchall()
        if revision == feed.revision:
            return feed
        return Feed(revision, db.execute("SELECT name, over FROM revocation"))
