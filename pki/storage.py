"""Files that are whole or absent, private, and changed by one process at a time.

Whatever is killed at whatever moment, a reader finds the old content or the new one:
written beside, flushed to the disk, renamed over, and the directory flushed too (a
rename is durable only then). `keys`, `founding` and `authority` come here.

Nothing here hides a file from root or from a backup: keys are sealed for that.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pki.errors import PkiError

_OTHERS = 0o077  # any right of group or world


class InsecurePermissionsError(PkiError):
    """A private file or directory is open to other users."""

    code = "insecure_permissions"


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`, mode 0600, so that no crash leaves half of it.

    The caller holds the lock of the directory: the temporary name is always the
    same, so that what a crash left behind is cleaned by the next writer.
    """
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(beside, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_directory(path.parent)


def make_private_directory(path: Path) -> None:
    """Make `path` with mode 0700 if it is missing, its parents with the usual mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def check_private(path: Path) -> None:
    """Return if only its owner may use the file or directory at `path`.

    Raises:
        InsecurePermissionsError: group or world may.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise InsecurePermissionsError(f"{path} has mode {mode:04o}, others may use it")


def sync_directory(path: Path) -> None:
    """Flush the names in the directory `path` to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting for whoever has it.

    The system lets go of it when the process ends, however it ends.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
