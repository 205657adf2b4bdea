"""The real proxies: where their programs are, installed if that can be.

nginx and HAProxy are Debian's packages, which root installs if they are missing; Envoy
comes from the lock file. Where one cannot be had, `find` skips the test and says why.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import pytest

KINDS = ("nginx", "haproxy", "envoy")

# Debian keeps daemons where an ordinary account does not look.
_PLACES = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"]
)


@cache
def present(kind: str) -> Path | None:
    """Return the program of a proxy, installing its package if need be."""
    found = shutil.which(kind, path=_PLACES)
    if found is None and kind != "envoy" and _can_install():
        _install(kind)
        found = shutil.which(kind, path=_PLACES)
    return Path(found) if found else None


def find(kind: str) -> Path:
    """Return the program of a proxy, or skip the test."""
    program = present(kind)
    if program is None and kind == "envoy":
        pytest.skip("no envoy: its wheels are for Linux with glibc")
    if program is None:
        pytest.skip(f"no {kind}, and it cannot be installed without starting it")
    return program


def _can_install() -> bool:
    return (
        os.geteuid() == 0
        and shutil.which("apt-get") is not None
        and not Path("/run/systemd/system").exists()  # or it would start a service
    )


def _install(package: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    lock = Path(tempfile.gettempdir()) / "certbound-tests-apt.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the workers of pytest-xdist come together
        for command in ["update"], ["install", "-y", "--no-install-recommends"]:
            arguments = [*command, package] if command[0] == "install" else command
            subprocess.run(
                ["apt-get", *arguments],
                env=environment,
                capture_output=True,
                check=False,
            )
