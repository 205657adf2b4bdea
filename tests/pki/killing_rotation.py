"""Kill a verb of a rotation before and after each thing that lasts, one a copy.

    python -m tests.pki.killing_rotation DIRECTORY

DIRECTORY has `act.json`, which says what to do, and the CA in `0`. The n-th run, in a
copy DIRECTORY/n, gets SIGKILL before the n-th beginning or end of a transaction, or the
n-th renaming of a file: what lies between two of them leaves nothing behind. The last
one was not killed. A process of its own, because forking is for those with one thread.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import msgspec

from pki import rotation
from pki.laggards import Proof
from pki.rotation_steps import What
from tests.pki.builders import CHEAP, ROOT_PASSPHRASE, Ca

_LASTING = ("BEGIN", "COMMIT")


def act(ca: Ca, asked: dict[str, Any]) -> None:
    """Do what `act.json` says."""
    keyring = ca.keyring(ROOT_PASSPHRASE)
    if asked["verb"] == "begin":
        what = What(asked["what"])
        rotation.begin(ca.layout, what, keyring=keyring, run_id="killed", cost=CHEAP)
    elif asked["verb"] == "advance":
        proof = msgspec.convert(asked["proof"], type=Proof)
        rotation.advance(ca.layout, proof, keyring=keyring, run_id="killed")
    else:
        rotation.reverse(ca.layout, run_id="killed")


def _is_killed(step: int, ca: Ca, asked: dict[str, Any]) -> bool:
    child = os.fork()
    if child == 0:
        _count_down(step)
        act(ca, asked)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status) and status:
        sys.exit(f"the run that was not killed failed: {status}")
    return os.WIFSIGNALED(status)


def _count_down(step: int) -> None:
    left = step

    def take() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(event: str, _arguments: tuple[Any, ...]) -> None:
        if event == "os.rename":
            take()

    def trace(statement: str) -> None:
        if statement.startswith(_LASTING):
            take()

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = real_connect(*arguments, **named)
        connection.set_trace_callback(trace)
        return connection

    real_connect = sqlite3.connect
    sqlite3.connect = connect  # type: ignore[assignment]  # one of its overloads
    sys.addaudithook(audit)


def main(directory: Path) -> None:
    """Kill one run after the other until one is through."""
    asked = json.loads((directory / "act.json").read_text())
    step, killed = 0, True
    while killed:
        step += 1
        place = Path(shutil.copytree(directory / "0", directory / str(step)))
        killed = _is_killed(step, Ca.at(place), asked)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
