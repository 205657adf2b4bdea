"""Kill a founding, an issuing or a revoking at every step it takes, one step a copy.

    python -m tests.pki.killing found DIRECTORY
    python -m tests.pki.killing issue DIRECTORY REQUESTS
    python -m tests.pki.killing revoke DIRECTORY
    python -m tests.pki.killing upgrade DIRECTORY

The first makes DIRECTORY/1, DIRECTORY/2, ... and founds a CA in each; the others take
copies of the CA in DIRECTORY/0. The n-th run gets SIGKILL before its n-th step: a file
opened, renamed, removed, a directory made, or an SQL statement. The last one was not
killed. A process of its own, because forking is for processes with one thread.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from pki.ledger import open_ledger
from tests.pki.builders import Ca

_STEPS = {"open", "os.rename", "os.remove", "os.mkdir"}


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


def upgrade(ca: Ca) -> None:
    """Open the ledger, which is of an earlier version."""
    with open_ledger(ca.layout.ledger):
        pass


def main(verb: str, directory: Path, *requests: str) -> None:
    """Kill one run after the other until one is through."""
    asked = json.loads(Path(requests[0]).read_text()) if requests else []
    step = 0
    killed = True
    while killed:
        step += 1
        place = directory / str(step)
        if verb == "found":
            killed = killed_at(step, partial(Ca.found, place))
            continue
        shutil.copytree(directory / "0", place)
        ca = Ca.at(place)
        acts: dict[str, Callable[[], object]] = {
            "issue": partial(ca.issue, *map(tuple, asked)),
            "revoke": partial(ca.revoke, "orders@localhost"),
            "upgrade": partial(upgrade, ca),
        }
        killed = killed_at(step, acts[verb])
    print(step)  # noqa: T201 - the answer


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
