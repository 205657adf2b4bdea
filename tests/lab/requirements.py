"""What this machine must have to run a lab, and how it gets what Debian can give."""

import os
import shutil

from tests import apt
from tests.lab import command, group
from tests.lab.base import Say
from tests.lab.errors import LabError, UnavailableError

# What is run, and the Debian package it comes in.
_TOOLS = {
    "apt-get": "apt",
    "ip": "iproute2",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "setsid": "util-linux",
    "ssh": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}


def missing_packages() -> list[str]:
    """Return the Debian packages that the lab needs and this machine lacks."""
    path = command.ENVIRONMENT["PATH"]
    lacking = {
        package for tool, package in _TOOLS.items() if not shutil.which(tool, path=path)
    }
    return sorted(lacking)


def install(say: Say) -> None:
    """Install what is missing, and say so.

    Raises:
        UnavailableError: what is missing cannot be installed.
    """
    _check_power()
    packages = missing_packages()
    if not packages:
        return
    if "apt" in packages:
        raise UnavailableError("no apt-get here: the lab needs a Debian")
    say(f"installing {', '.join(packages)} with apt-get")
    if refusal := apt.install(packages):
        raise LabError(refusal)


def check() -> None:
    """Return if a lab can be booted on this machine.

    Raises:
        UnavailableError: it cannot; the text says why, and what to do.
    """
    _check_power()
    if packages := missing_packages():
        raise UnavailableError(
            f"{', '.join(packages)} not installed: `python -m tests.lab set-up` does it"
        )


def _check_power() -> None:
    if os.geteuid() != 0:
        raise UnavailableError("the lab needs root")
    root = group.hierarchy()
    if root is None:
        raise UnavailableError("no unified control group hierarchy is mounted")
    if not os.access(root, os.W_OK):
        raise UnavailableError(f"{root} is read-only: is this a container?")
    if command.attempt(["unshare", "--mount", "--net", "true"]).returncode:
        raise UnavailableError("no new namespaces may be made: is this a container?")
