"""Servers that are measured: each on the server's core, its CPU time known.

The server's core is the first of this machine, the load's the second. A server that is
not asked costs nothing, so all of a row stay up while they are asked in turn.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rounds import AbsentError

PROJECT = Path(__file__).parent.parent
SERVER, LOAD = (sorted(os.sched_getaffinity(0)) * 2)[:2]
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
_TICKS = os.sysconf("SC_CLK_TCK")
_READY = 60.0  # seconds
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "certbound"
# With bytecode, as what is installed has it, whatever this tree has.
ENVIRONMENT = {
    name: value for name, value in os.environ.items() if name != _NO_BYTECODE
} | {"PYTHONPYCACHEPREFIX": str(CACHE / "bytecode")}


class ContestantError(AbsentError):
    """A server did not come up, or went down."""


@dataclass(frozen=True)
class Contestant:
    """A running server."""

    name: str
    port: int
    session: int  # its processes are those of this session

    def cpu(self) -> float:
        """Return the seconds of CPU that its processes have used, dead ones too."""
        return sum(map(_ticks, self.processes())) / _TICKS

    def memory(self) -> int:
        """Return the bytes of its processes that are nobody else's (PSS)."""
        return sum(map(_pss, self.processes()))

    def processes(self) -> list[int]:
        """Return the processes of the session."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _session(int(entry.name)) == self.session
        ]


@contextmanager
def running(
    name: str,
    command: Sequence[str | Path],
    *,
    port: int,
    log: Path,
    given: Mapping[str, Any] | None = None,
) -> Iterator[Contestant]:
    """Run a server on its core; it finds `given` as JSON on its standard input.

    Raises:
        ContestantError: it does not listen on `port`.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", str(SERVER), *command],
            cwd=PROJECT,
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    assert process.stdin is not None
    try:
        with process.stdin as stdin:
            stdin.write(json.dumps(given).encode())
        _await(process, port, name, log)
        yield Contestant(name, port, process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _await(process: "subprocess.Popen[bytes]", port: int, name: str, log: Path) -> None:
    deadline = time.monotonic() + _READY
    while process.poll() is None and time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    said = log.read_text(errors="replace")[-2000:]
    raise ContestantError(f"{name} does not listen on port {port}:\n{said}")


def _fields(process: int) -> list[str]:
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:  # it has just ended
        return []
    return text.rpartition(")")[2].split()  # what follows the name, from field 3 on


def _session(process: int) -> int:
    fields = _fields(process)
    return int(fields[3]) if fields else -1


def _ticks(process: int) -> int:
    fields = _fields(process)
    return sum(map(int, fields[11:15])) if fields else 0  # its own, and of its dead


def _pss(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:
        return 0
    line = next(line for line in text.splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024
