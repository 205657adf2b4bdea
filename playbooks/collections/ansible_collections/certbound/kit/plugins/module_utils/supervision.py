"""Start a supervisord and wait for what it runs.

Called by the module `supervised`. Running means that a process has lived for a second
and that its port is open; that it answers as it should is for the probe to see.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

from .files import ensure_private_directory, read_text
from .processes import is_listening
from .supervisor import (
    FAILED,
    RUNNING,
    SUPERVISORD,
    Places,
    Supervisor,
    SupervisorError,
    configuration,
)

if TYPE_CHECKING:
    from .processes import Ours

RUN = ["-m", "services", "run"]  # what the interpreter is given
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


def wanted_configuration(params: dict[str, Any], places: Places) -> str:
    """Return supervisord's configuration for the processes asked for."""
    run = [params["interpreter"], *params.get("arguments", RUN)]
    return configuration(
        places,
        [
            {"name": process["name"], "command": [*run, process["config"]]}
            for process in params["processes"]
        ],
        directory=params["chdir"],
        release=release_of(params["sources"]),
    )


def release_of(directories: list[str]) -> str:
    """Return a word that changes when any Python file in `directories` does."""
    digest = hashlib.sha256()
    for directory in directories:
        for where, _, names in sorted(os.walk(directory)):
            for name in sorted(n for n in names if n.endswith(".py")):
                path = os.path.join(where, name)
                digest.update(os.fsencode(os.path.relpath(path, directory)) + b"\0")
                with open(path, "rb") as file:
                    digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:16]


def not_as_wanted(params: dict[str, Any]) -> str | None:
    """Return what a supervisord has otherwise than it should, or None."""
    places = Places(params["root"])
    supervisor = Supervisor(places.socket)
    for directory in places.directories:
        if ensure_private_directory(directory, check=True):
            return directory
    if read_text(places.configuration) != wanted_configuration(params, places):
        return "supervisord's configuration"
    if not supervisor.alive():
        return "supervisord does not answer"
    # It may not have read what stands there: a run may have died in between.
    if any(supervisor.difference()):
        return "what supervisord runs"
    states = supervisor.programs().items()
    still = sorted(name for name, program in states if program.state != RUNNING)
    return f"{still[0]} does not run" if still else None


def environment() -> dict[str, str]:
    """Return what the services inherit: nothing of Ansible's own is meant for them."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return dict(kept, LANG="C.UTF-8")


def wait_running(
    supervisor: Supervisor,
    places: Places,
    processes: list[dict[str, Any]],
    seconds: int,
) -> None:
    """Wait until every process runs and listens.

    Raises:
        SupervisorError: one died, and be it that it was started again, or takes too
            long; the message says what it has logged.
    """
    deadline = time.monotonic() + seconds
    pids: dict[str, int] = {}
    while True:
        programs = supervisor.programs()
        for name, program in sorted(programs.items()):
            died = program.pid and pids.setdefault(name, program.pid) != program.pid
            if died or program.state in FAILED:
                said = tail(places.log(name))
                raise SupervisorError(f"{name} does not run; its log ends: {said}")
        slow = [name for name, p in programs.items() if p.state != RUNNING]
        slow += [p["name"] for p in processes if not _listens(p)]
        if not slow:
            return
        if time.monotonic() > deadline:
            said = tail(places.log(slow[0]))
            raise SupervisorError(
                f"{slow[0]} does not listen after {seconds} s; its log ends: {said}"
            )
        time.sleep(_POLL)


def _listens(process: dict[str, Any]) -> bool:
    return is_listening(process["address"], process["port"])


def tail(path: str) -> str:
    """Return the last line of a log: of a traceback, it is the one that says why."""
    lines = (read_text(path) or "").strip().splitlines() or ["with nothing"]
    return lines[-1][:_LONGEST_LINE]
