"""Real processes behind a load balancer, to be killed one by one.

    async with Balancer.listening(port, [8440, 8450]): ...

The balancer passes bytes on and ends no TLS: who is behind it is for the caller to
check. A connection whose backend dies, dies with it; the next one goes to another.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any, Self

_READY = 90.0  # seconds for a process to listen, on a very busy machine


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody has now."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


class Process:
    """`python -m services run`, for one document."""

    def __init__(self, home: Path, document: dict[str, Any]) -> None:
        home.mkdir(parents=True)
        self.port: int = document["port"]
        self._config = home / "config.json"
        self._config.write_text(json.dumps(document))
        self._log = home / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything it has said."""
        return self._log.read_text()

    def start(self) -> None:
        """Start it; `ready` waits for it."""
        command = [sys.executable, "-m", "services", "run", str(self._config)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stderr=log)

    async def ready(self) -> None:
        """Return once it listens."""
        async with asyncio.timeout(_READY):
            while True:
                assert self._process
                assert self._process.poll() is None, self.log
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Balancer:
    """Each new connection goes to the next backend that takes it."""

    def __init__(self, backends: Sequence[int]) -> None:
        self._backends = list(backends)
        self._turn = cycle(range(len(self._backends)))
        self._passing: set[asyncio.Task[Any]] = set()
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def listening(cls, port: int, backends: Sequence[int]) -> AsyncIterator[Self]:
        """Balance while the context lasts."""
        balancer = cls(backends)
        server = await asyncio.start_server(balancer._pass, "127.0.0.1", port)
        try:
            yield balancer
        finally:
            server.close()
            for writer in balancer._open:
                writer.transport.abort()
            await asyncio.gather(*balancer._passing)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task
        self._passing.add(task)
        self._open.add(writer)
        try:
            await self._connect(reader, writer)
        finally:
            self._passing.discard(task)
            self._open.discard(writer)
            writer.transport.abort()

    async def _connect(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        first = next(self._turn)
        for port in (*self._backends[first:], *self._backends[:first]):
            try:
                there = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            ways = [_copy(reader, there[1]), _copy(there[0], writer)]
            tasks = [asyncio.ensure_future(way) for way in ways]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                there[1].transport.abort()
            return


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
