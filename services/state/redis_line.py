"""One connection to Redis that everybody asks at once.

Questions go out as they come, and answers come back in the order of the questions: that
is Redis' protocol (https://redis.io/docs/latest/develop/using-commands/pipelining/).
Nobody waits for a connection of his own, and what comes in one read is answered in one
turn. The client's own connection connects: TLS, user, database; from then on its
transport speaks to us, over the parser of the same makers, since its streams cost more
than Redis' answer.

A line that has broken stays broken, and fails whoever still waits: whether a question
was carried out nobody can know, and none is sent twice.
"""

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

_HUNG_UP = "the connection was closed"


class Line(asyncio.Protocol):
    """A connection that is open, and who waits for its answers."""

    def __init__(self, connection: AbstractConnection, patience: float) -> None:
        """Take over a connection that is open already, and has nothing to say.

        Args:
            connection: the client's.
            patience: seconds that an answer may take; then the line is given up.
        """
        self._connection = connection
        self._transport: Any = connection._writer.transport  # type: ignore[union-attr]  # noqa: SLF001
        self._before = self._transport.get_protocol()
        self._transport.set_protocol(self)
        self._reader = hiredis.Reader(replyError=ResponseError)
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._watch: asyncio.TimerHandle | None = None
        self._closing: asyncio.Task[None] | None = None
        self.is_open = True  # an answer can still come

    def ask(self, *command: str | bytes | int) -> asyncio.Future[Any]:
        """Send one command; who gives up its answer leaves it to nobody.

        The future raises RedisError if the answer is an error, or none comes.
        """
        answer = self._loop.create_future()
        self._waiting.append((self._loop.time(), answer))
        if self._watch is None:  # one for all who ask, until nobody waits
            self._watch = self._loop.call_later(self._patience, self._look)
        self._transport.write(hiredis.pack_command(command))  # type: ignore[arg-type]
        return answer

    async def aclose(self) -> None:
        """Hang up, and wait until that is done."""
        self._fail(RedisConnectionError(_HUNG_UP))
        await self._connection.disconnect()

    def data_received(self, data: bytes) -> None:
        """Take answers, or parts of them."""
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not False:
                self._answer(answer)
        except (hiredis.ProtocolError, RedisConnectionError) as error:
            self._give_up(str(error))

    def connection_lost(self, error: Exception | None) -> None:
        """Nothing comes any more; the client's connection learns it, too."""
        self._fail(RedisConnectionError(str(error or _HUNG_UP)))
        self._before.connection_lost(error)
        self._closing = self._loop.create_task(self._connection.disconnect(nowait=True))

    def _answer(self, found: Any) -> None:
        if not self._waiting:
            raise RedisConnectionError("an answer that nobody has asked for")
        _, answer = self._waiting.popleft()
        if answer.done():  # who asked has given up
            return
        if isinstance(found, ResponseError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def _look(self) -> None:
        """Give up if whoever has waited longest has waited long enough."""
        self._watch = None
        if not self._waiting:
            return
        since, _ = self._waiting[0]
        left = since + self._patience - self._loop.time()
        if left <= 0:
            self._give_up(f"no answer in {self._patience} s")
        else:
            self._watch = self._loop.call_later(left, self._look)

    def _give_up(self, why: str) -> None:
        self._transport.abort()
        self._fail(RedisConnectionError(why))

    def _fail(self, error: RedisConnectionError) -> None:
        self.is_open = False
        if self._watch is not None:
            self._watch.cancel()
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(error)
