"""The real proxies: where their programs are, installed if that can be.

nginx and HAProxy are Debian's packages, which root installs if they are missing; Envoy
comes from the lock file. Where one cannot be had, `find` skips the test and says why.
"""

import os
import shutil
import sys
from functools import cache
from pathlib import Path

import pytest

from tests import debian

KINDS = ("nginx", "haproxy", "envoy")

# Debian keeps daemons where an ordinary account does not look.
_PLACES = os.pathsep.join(
    [str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"]
)


@cache
def present(kind: str) -> Path | None:
    """Return the program of a proxy, installing its package if need be."""
    if kind == "envoy":
        found = shutil.which(kind, path=_PLACES)
    else:
        found = debian.program(kind, path=_PLACES, serves=True)
    return Path(found) if found else None


def find(kind: str) -> Path:
    """Return the program of a proxy, or skip the test."""
    program = present(kind)
    if program is None and kind == "envoy":
        pytest.skip("no envoy: its wheels are for Linux with glibc")
    if program is None:
        pytest.skip(f"no {kind}, and it cannot be installed without starting it")
    return program
