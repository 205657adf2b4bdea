"""Packages of npm: installed once, outside of the project, and run with node.

They come by the hashes of `node/package-lock.json`; none of their scripts is run.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.judges import processes
from tests.judges.verdicts import Judge

_SOURCES = Path(__file__).parent / "node"
_LOCKED = ("package.json", "package-lock.json")
_LONGEST = 300  # seconds to install


@dataclass(frozen=True)
class Node:
    """The scripts, beside the packages that they import."""

    directory: Path
    program: Path

    def run(self, name: str, given: Mapping[str, Any]) -> Any:
        """Return what a script makes of what it is given."""
        return processes.script([self.program, self.directory / name], given)

    def command(self, name: str) -> list[str | Path]:
        """Return the command that runs a script as a server."""
        return [self.program, self.directory / name]

    def judge(self, package: str) -> Judge:
        """Return a package by name and version."""
        path = self.directory / "node_modules" / package / "package.json"
        return Judge(f"npm {package}", json.loads(path.read_text())["version"])


def ready(directory: Path) -> Node:
    """Return the scripts in `directory`, or skip where npm's packages cannot be had."""
    program = processes.program("node")
    packages = _installed(processes.program("npm"))
    for source in _SOURCES.glob("*.mjs"):
        shutil.copy(source, directory)
    (directory / "node_modules").symlink_to(packages)
    return Node(directory, program)


def _installed(npm: Path) -> Path:
    """Return the folder of the packages, which is named after the hash of the lock."""
    locked = b"".join((_SOURCES / name).read_bytes() for name in _LOCKED)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    home = cache / "certbound" / f"judges-{hashlib.sha256(locked).hexdigest()[:16]}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / "judges.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the workers of pytest-xdist come together
        if not home.exists():
            with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
                made = Path(scratch) / home.name
                made.mkdir()
                _install(npm, made)
                made.rename(home)  # whole or not at all
    return home / "node_modules"


def _install(npm: Path, directory: Path) -> None:
    for name in _LOCKED:
        shutil.copy(_SOURCES / name, directory)
    done = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm cannot install the judges: {done.stderr.strip()[-300:]}")
