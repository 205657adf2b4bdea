"""Tests of `services.wire.memory`, in a process of its own."""

import subprocess
import sys
from platform import libc_ver

import pytest

_READ = """
from pathlib import Path
from threading import Thread
from services.wire.memory import LARGE, give_large_blocks_back

def kept():
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096

def read():
    blocks = [bytearray(5 * LARGE) for _ in range(4)]

if {given_back}:
    give_large_blocks_back()
before = kept()
for _ in range(4):
    thread = Thread(target=read)
    thread.start()
    thread.join()
print((kept() - before) // LARGE)
"""


def grown(*, given_back: bool) -> int:
    """Return by how many megabytes a process has grown that has freed everything."""
    done = subprocess.run(
        [sys.executable, "-c", _READ.replace("{given_back}", str(given_back))],
        capture_output=True,
        check=True,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(libc_ver()[0] != "glibc", reason="it is glibc that keeps blocks")
def test_what_is_large_is_given_back() -> None:
    """Twenty megabytes were used and freed, by one thread after the other."""
    assert grown(given_back=True) <= 1 < grown(given_back=False)
