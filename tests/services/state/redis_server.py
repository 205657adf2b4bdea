"""A real Redis for tests, that can be killed, paused and restarted.

    with RedisServer.started() as server:
        open_store(server.url, scope="https://localhost:8440")

Debian's package is installed if it is missing and we are root; where that cannot be,
`find_binary` skips the test and says why.
"""

import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Self

import pytest

from tests import debian

KEEPS_EVERYTHING = ("--appendonly", "yes")  # what a store of ours demands


@cache
def find_binary() -> str:
    """Return where `redis-server` is, or skip the test."""
    found = debian.program("redis-server", serves=True)
    return found or pytest.skip("no redis-server, and it cannot be installed")


def free_port() -> int:
    """Return a port of the loopback address that nobody has now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class RedisServer:
    """A server in a directory; its data outlive a restart."""

    def __init__(self, directory: Path, options: Sequence[str]) -> None:
        self.directory = directory
        port = free_port()
        self.url = f"unix://{directory}/redis.sock"
        self.tcp_url = f"redis://127.0.0.1:{port}/0"
        self._command = [
            find_binary(),
            *("--bind", "127.0.0.1", "--port", str(port)),
            *("--unixsocket", str(directory / "redis.sock")),
            *("--dir", str(directory), "--save", "", *options),
        ]
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    @contextmanager
    def started(cls, options: Sequence[str] = KEEPS_EVERYTHING) -> Iterator[Self]:
        """Run a server in a directory of its own, whose name a socket can bear."""
        with tempfile.TemporaryDirectory(prefix="redis-") as directory:
            server = cls(Path(directory), options)
            server.start()
            try:
                yield server
            finally:
                server.kill()

    def start(self) -> None:
        """Start it, and return once it takes connections."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            said.append(line)
            if "eady to accept connections" in line:
                return
        pytest.fail(f"redis-server ended: {''.join(said)}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def pause(self) -> None:
        """Let it hang: it holds its connections and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on where it was."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)
