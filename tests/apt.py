"""Packages of Debian, installed by whoever needs one; who comes meanwhile waits.

For the tests (`debian`) and for the lab, which runs without pytest too.
"""

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

_LOCK = Path(tempfile.gettempdir()) / "certbound-tests-apt.lock"
_INSTALL = ("install", "--quiet", "--yes", "--no-install-recommends")
_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}


def install(packages: Sequence[str]) -> str | None:
    """Install them; return what apt-get had to say if it could not."""
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if _refusal(*_INSTALL, *packages) is None:
            return None
        # A machine that is new has no lists, or old ones; the others save the time.
        return _refusal("update", "--quiet") or _refusal(*_INSTALL, *packages)


def _refusal(*arguments: str) -> str | None:
    done = subprocess.run(
        ["apt-get", *arguments],
        env={**os.environ, **_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
    )
    return f"apt-get {arguments[0]}: {done.stderr.strip()}" if done.returncode else None
