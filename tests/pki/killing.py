"""Kill whatever is done at its n-th step; `crashing` and others go through all n.

A step is a file opened, renamed, removed or linked to, a directory made or removed, or
an SQL statement. What was written and not flushed yet outlives a killed process. Only a
process with one thread may fork, so this is for processes of their own.
"""

import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from typing import Any

_STEPS = {
    "open",
    "os.link",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.symlink",
    "os.truncate",
}


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Run `act` in a child that is killed before its `step`-th step."""
    child = os.fork()
    if child == 0:
        _count_down(step)
        act()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if status:
        sys.exit(f"the run that was not killed failed: {status}")
    return False


def _count_down(step: int) -> None:
    left = step

    def take(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        # Modules that are loaded late are no steps.
        if event in _STEPS and not str(arguments[0]).endswith((".py", ".pyc", ".so")):
            take()

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real_connect(*arguments, **named)
        connection.set_trace_callback(take)
        return connection

    real_connect = sqlite3.connect
    sqlite3.connect = connect  # type: ignore[assignment]  # one of its overloads
    sys.addaudithook(audit)
