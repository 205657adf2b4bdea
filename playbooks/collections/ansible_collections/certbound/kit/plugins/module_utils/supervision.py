"""Start a supervisord and wait for what it runs.

Called by the module `supervised`. Running means that a process has lived for a second;
that it also answers is for the probe to see.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING

from .files import read_text
from .supervisor import (
    FATAL,
    RUNNING,
    SUPERVISORD,
    Places,
    Supervisor,
    SupervisorError,
)

if TYPE_CHECKING:
    from .processes import Ours

_POLL = 0.1  # seconds
_LONGEST_LINE = 600  # characters


def start(places: Places, interpreter: str, ours: Ours, seconds: int) -> None:
    """Start supervisord, which leaves this process by itself, and wait for it."""
    # What a killed supervisord left behind would hold the ports.
    ours.stop(seconds)
    done = subprocess.run(
        [interpreter, *SUPERVISORD, places.configuration],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    if done.returncode != 0:
        raise SupervisorError("supervisord did not start: " + done.stdout.strip())
    supervisor = Supervisor(places.socket)
    deadline = time.monotonic() + seconds
    while not supervisor.alive():
        if time.monotonic() > deadline:
            raise SupervisorError(
                "supervisord does not answer: " + tail(places.log("supervisord"))
            )
        time.sleep(_POLL)


def environment() -> dict[str, str]:
    """Return what the services inherit: nothing of Ansible's own is meant for them."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return dict(kept, LANG="C.UTF-8")


def wait_running(supervisor: Supervisor, places: Places, seconds: int) -> None:
    """Wait until every process runs; say what the first that does not has logged."""
    deadline = time.monotonic() + seconds
    while True:
        states = supervisor.states()
        idle = sorted(name for name, state in states.items() if state != RUNNING)
        if not idle:
            return
        if FATAL in states.values() or time.monotonic() > deadline:
            raise SupervisorError(
                f"{idle[0]} does not run; its log ends: {tail(places.log(idle[0]))}"
            )
        time.sleep(_POLL)


def tail(path: str) -> str:
    """Return the last line of a log: of a traceback, it is the one that says why."""
    lines = (read_text(path) or "").strip().splitlines() or ["with nothing"]
    return lines[-1][:_LONGEST_LINE]
