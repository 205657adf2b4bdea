"""The releases of the product that are installed on a host.

Each has a directory of its own; the symlink C(current) leads to one of them.
"""

from __future__ import annotations

import os
from typing import Any

COMPLETE = ".complete"  # written last: without it, a release is not there
_DIRECTORY = "releases"


def directory_of(root: str, digest: str) -> str:
    """Return where a release lies."""
    return os.path.join(root, _DIRECTORY, digest)


def is_installed(directory: str) -> bool:
    """Return whether a release is there, and whole."""
    return os.path.exists(os.path.join(directory, COMPLETE))


def link_of(root: str) -> str:
    """Return the symlink that leads to the release in use."""
    return os.path.join(root, "current")


def target_of(digest: str) -> str:
    """Return what the symlink says when it leads to a release."""
    return os.path.join(_DIRECTORY, digest)


def present_target(root: str) -> str | None:
    """Return what the symlink says, or None if there is none."""
    link = link_of(root)
    return os.readlink(link) if os.path.islink(link) else None


def found_in(root: str) -> dict[str, Any]:
    """Return the digests of the releases that are whole, and of the one in use."""
    directory = os.path.join(root, _DIRECTORY)
    names = sorted(os.listdir(directory)) if os.path.isdir(directory) else []
    present = present_target(root)
    return {
        "installed": [n for n in names if is_installed(directory_of(root, n))],
        "current": os.path.basename(present) if present else None,
    }
