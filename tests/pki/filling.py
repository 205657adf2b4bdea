"""A disk of its own that is full from a chosen page, or a chosen file, on.

Only root can mount one; `why_not` says so. It is a file system in memory (tmpfs) in a
mount namespace of the process' own, and gone with the process.
"""

import ctypes
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pki.errors import PkiError
from services.errors import ServiceError

_SIZE = 64 * 2**20  # bytes
_FILES = 2000
_CLONE_NEWNS = 0x00020000  # linux/sched.h
_REFUSED = 3


def why_not() -> str | None:
    """Return why there can be no such disk here, or None."""
    if os.geteuid() != 0:
        return "only root can mount a disk to fill"
    probe = ("unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt")
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return f"no disk can be mounted here: {done.stderr}" if done.returncode else None


def mount(at: Path) -> None:
    """Mount the disk; what this process mounts, no other one sees."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    at.mkdir()
    options = f"size={_SIZE},nr_inodes={_FILES}"
    for command in (
        ("mount", "--make-rprivate", "/"),
        ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(at)),
    ):
        subprocess.run(command, check=True)


def refused_on(disk: Path, act: Callable[[], object], *, left: int, of: str) -> bool:
    """Run `act` in a child while so many pages or files are left; say if it gave up.

    It may give up with an error that its callers know, and in no other way.
    """
    with (_few_pages if of == "pages" else _few_files)(disk, left):
        child = os.fork()
        if child == 0:
            os._exit(_outcome(act))
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in {0, _REFUSED}:
        sys.exit(f"with {left} {of} left it ended with {code}")
    return code == _REFUSED


def _outcome(act: Callable[[], object]) -> int:
    try:
        act()
    except (PkiError, ServiceError, OSError):
        return _REFUSED
    except BaseException:  # noqa: BLE001 - said, and a failure
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def _few_pages(disk: Path, left: int) -> Iterator[None]:
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        free = os.statvfs(disk)
        size = (free.f_bavail - left) * free.f_bsize
        os.posix_fallocate(file.fileno(), 0, size)
    yield
    ballast.unlink()


@contextmanager
def _few_files(disk: Path, left: int) -> Iterator[None]:
    ballast = disk / "ballast"
    ballast.mkdir()
    for number in range(os.statvfs(disk).f_favail - left):
        (ballast / str(number)).touch()
    yield
    shutil.rmtree(ballast)
