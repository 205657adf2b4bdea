"""Packages of Debian that tests need, installed where that can be.

Only root can. A package that brings a service is not installed where systemd would
start it. Whatever is installed is said.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import apt


def program(
    name: str, package: str | None = None, *, path: str | None = None, serves: bool
) -> str | None:
    """Return where a program is, installing its package if need be, or None.

    `serves` says that the package brings a service, which systemd would start.
    """
    if shutil.which(name, path=path) is None and obstacle(serves=serves) is None:
        _install(package or name)
    return shutil.which(name, path=path)


def installed(package: str, file: Path) -> str:
    """Return the version of the package that `file` is of, or skip the test."""
    if not file.exists():
        if why := obstacle(serves=True):
            pytest.skip(f"no {package}: {why}")
        _install(package)
    if not file.exists():
        pytest.skip(f"Debian's {package} is not installed, and cannot be")
    query = ("dpkg-query", "--show", "--showformat=${Version}", package)
    return subprocess.run(query, capture_output=True, text=True, check=True).stdout


def obstacle(*, serves: bool) -> str | None:
    """Return why nothing can be installed here, or None."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return "only root of a Debian could install it"
    if serves and Path("/run/systemd/system").exists():
        return "to install it here could start a service"
    return None


def _install(package: str) -> None:
    print(f"\ntests: installing Debian's {package}", file=sys.__stderr__)
    apt.install([package])
