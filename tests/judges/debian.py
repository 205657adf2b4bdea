"""Packages of Debian that a judge is made of, installed where that can be.

Only root can, and only where that starts no service. Whatever is installed is said.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def installed(package: str, file: Path) -> str:
    """Return the version of the package that `file` is of, or skip the test."""
    if not file.exists():
        _install(package)
    if not file.exists():
        pytest.skip(f"Debian's {package} is not installed, and cannot be")
    return _said("dpkg-query", "--show", "--showformat=${Version}", package)


def _install(package: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(f"no {package}: root could install Debian's")
    if Path("/run/systemd/system").exists():
        pytest.skip(f"no {package}: to install it here could start a service")
    sys.stderr.write(f"tests/judges: installing Debian's {package}\n")
    _said("apt-get", "update")
    _said("apt-get", "install", "-y", "--no-install-recommends", package)


def _said(*command: str) -> str:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()
