"""The configuration documents of a host's processes.

Runs on the target with its own Python, so: the standard library of 3.8 and no more.
"""

from __future__ import annotations

import json
import os
from typing import Any

from .files import (
    ensure_private_directory,
    ensure_private_file,
    read_text,
    write_private,
)


def configure(process: dict[str, Any], *, check_only: bool) -> tuple[str, str]:
    """Write a process's configuration; return it before and after."""
    wanted, present = _wanted(process), read_text(process["config"]) or ""
    if not check_only:
        for directory in _directories(process):
            ensure_private_directory(directory)
        if present != wanted:
            write_private(process["config"], wanted)
        ensure_private_file(process["config"])
    return present, wanted


def is_configured(process: dict[str, Any]) -> bool:
    """Return whether `configure` would change nothing, modes included."""
    return read_text(process["config"]) == _wanted(process) and not (
        any(ensure_private_directory(one, check=True) for one in _directories(process))
        or ensure_private_file(process["config"], check=True)
    )


def _wanted(process: dict[str, Any]) -> str:
    return json.dumps(process["document"], indent=2, sort_keys=True) + "\n"


def _directories(process: dict[str, Any]) -> list[str]:
    """Return those of a process that are its owner's alone."""
    own = [os.path.dirname(process["config"])]
    if "state" in process["document"]:
        own.append(process["document"]["state"])
    return own
