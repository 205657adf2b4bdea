"""One connection to Redis that everybody asks at once.

Questions go out as they come, and answers come back in the order of the questions: that
is Redis' protocol (https://redis.io/docs/latest/develop/using-commands/pipelining/).
Nobody waits for a connection of his own, and what is asked in one turn of the loop
travels together. The client's connection does the rest: TLS, user, database, parsing.

A line that has broken stays broken, and fails whoever still waits: whether a question
was carried out nobody can know, and none is sent twice.
"""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError


class Line:
    """A connection that is open, and who waits for its answers."""

    def __init__(self, connection: AbstractConnection) -> None:
        """Take over a connection that is open already."""
        self._connection = connection
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self.is_open = True  # an answer can still come
        self._reading = asyncio.create_task(self._read())

    async def ask(self, *command: str | bytes | int) -> Any:
        """Send one command and return the answer; who gives up leaves it to nobody.

        Raises:
            RedisError: it is an error, or the connection breaks.
        """
        answer = asyncio.get_running_loop().create_future()
        packed = self._connection.pack_command(*command)
        self._waiting.append(answer)  # and it is written before anybody else's turn
        try:
            await self._connection.send_packed_command(packed, check_health=False)
        except BaseException:  # half a question may have gone out
            answer.cancel()
            self.hang_up()
            raise
        return await answer

    def hang_up(self) -> None:
        """Let nobody ask again, and those who wait wait no longer."""
        self.is_open = False
        self._reading.cancel()

    async def aclose(self) -> None:
        """Hang up, and wait until that is done."""
        self.hang_up()
        with suppress(asyncio.CancelledError):
            await self._reading
        await self._connection.disconnect()

    async def _read(self) -> None:
        failure: BaseException = RedisConnectionError("hung up")
        try:
            while True:
                self._answer(await self._response())
        except (RedisError, OSError) as error:
            failure = error
        finally:
            self.is_open = False
            for answer in self._waiting:
                if not answer.done():
                    answer.set_exception(failure)
            self._waiting.clear()
            await asyncio.shield(self._connection.disconnect(nowait=True))

    async def _response(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return error

    def _answer(self, response: Any) -> None:
        if not self._waiting:
            raise RedisConnectionError("an answer that nobody has asked for")
        answer = self._waiting.popleft()
        if answer.done():  # who asked has given up
            return
        if isinstance(response, ResponseError):
            answer.set_exception(response)
        else:
            answer.set_result(response)
