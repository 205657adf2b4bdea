"""Programs that judge, run beside the services: started, awaited, ended."""

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.services.mesh import until

PROJECT = Path(__file__).parents[2]
_READY = 20.0  # seconds
_LONGEST = 60.0  # seconds for one script


@contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    port: int,
    directory: Path = PROJECT,
    given: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Run a server until it is not needed; it listens on `port` when this returns.

    It finds `given` as JSON on its standard input.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    assert process.stdin is not None
    try:
        with process.stdin as stdin:
            stdin.write(json.dumps(given).encode())
        until(lambda: process.poll() is not None or _is_open(port), _READY)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.terminate()
        process.wait(15)


def service(config: Path) -> list[str]:
    """Return the command that runs the process which `config` describes."""
    return [sys.executable, "-m", "services", "run", str(config)]


def program(name: str, *places: str) -> Path:
    """Return a program of the system, or skip the test."""
    found = shutil.which(name) or next(
        (place for place in places if Path(place).exists()), None
    )
    if found is None:
        pytest.skip(f"there is no {name} on this machine")
    return Path(found)


def script(command: Sequence[str | Path], given: Mapping[str, Any]) -> Any:
    """Return the JSON that a script makes of the JSON it is given."""
    done = subprocess.run(
        command,
        input=json.dumps(given).encode(),
        capture_output=True,
        timeout=_LONGEST,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def _is_open(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0
