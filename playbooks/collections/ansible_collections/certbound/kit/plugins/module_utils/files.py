"""Directories and files that only their owner can read, replaced in one step.

Runs on the target with its own Python, so: the standard library of 3.8 and no more.
"""

from __future__ import annotations

import os

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600


def ensure_private_directory(path: str, *, check: bool = False) -> bool:
    """Make `path` a directory of mode 0700; return whether that changed anything.

    Parents that are missing are made likewise; those that are there stay as they are.
    """
    if not os.path.isdir(path):
        if not check:
            _ensure_parent(os.path.dirname(os.path.abspath(path)))
            os.mkdir(path, PRIVATE_DIRECTORY)
            os.chmod(path, PRIVATE_DIRECTORY)
        return True
    return _ensure_mode(path, PRIVATE_DIRECTORY, check=check)


def _ensure_parent(path: str) -> None:
    if not os.path.isdir(path):
        ensure_private_directory(path)


def ensure_private_file(path: str, *, check: bool = False) -> bool:
    """Give the file at `path` mode 0600; return whether that changed anything."""
    return _ensure_mode(path, PRIVATE_FILE, check=check)


def _ensure_mode(path: str, mode: int, *, check: bool) -> bool:
    if os.stat(path).st_mode & 0o7777 == mode:
        return False
    if not check:
        os.chmod(path, mode)
    return True


def read_text(path: str) -> str | None:
    """Return the text at `path`, or None if there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def write_private(path: str, text: str) -> None:
    """Replace the file at `path` by one of mode 0600 that holds `text`.

    A reader sees the old file or the new one; after a power cut, one of them is there.
    """
    temporary = path + ".new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), PRIVATE_FILE)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def create_private(path: str, text: str) -> None:
    """Write a new file of mode 0600; fail if there is one already."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_directory(os.path.dirname(path))


def take_private(path: str) -> None:
    """Put what another program has written to `path`.new in the place of `path`.

    Mode 0600; after a power cut the old file is there or the new one.
    """
    temporary = path + ".new"
    ensure_private_file(temporary)
    descriptor = os.open(temporary, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def swap_symlink(path: str, target: str) -> None:
    """Point the symlink at `path` to `target`, in one step."""
    temporary = path + ".new"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make renames within `path` outlive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
