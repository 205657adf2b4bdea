"""What a host had before a roll-out touched it, kept until the new is known to serve.

One file, readable by its owner alone: where each identity's link led, what each
configuration said, which units there were. It is written before the first change and
removed after the last check. A run that dies in between leaves it, and the next one
does not overwrite it, so that there is a way back to what was last known to serve.
"""

from __future__ import annotations

import json
import os
from typing import Any

from .files import (
    ensure_private_directory,
    read_text,
    swap_symlink,
    write_private,
)
from .owner import acting_as

IDENTITIES, UNITS = "identities", "units"


def recall(path: str) -> dict[str, Any]:
    """Return what is kept; nothing if there is nothing."""
    kept: dict[str, Any] = json.loads(read_text(path) or "{}")
    return kept


def remember(path: str, part: str, value: Any) -> None:
    """Keep `value` as one part, unless that part is there already."""
    kept = recall(path)
    if part not in kept:
        ensure_private_directory_of(path)
        write_private(path, json.dumps({**kept, part: value}, indent=1) + "\n")


def ensure_private_directory_of(path: str) -> None:
    """Have the directory of a file, leaving one that is there as it is."""
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        ensure_private_directory(directory)


def forget(path: str) -> None:
    """Remove what is kept."""
    if os.path.exists(path):
        os.unlink(path)


def remember_identities(path: str, processes: list[dict[str, Any]]) -> None:
    """Keep where the identities' links lead, and the configurations."""
    kept = []
    for process in processes:
        with acting_as(process["owner"]):
            kept.append(_present(process))
    remember(path, IDENTITIES, kept)


def _present(process: dict[str, Any]) -> dict[str, Any]:
    link = process["document"]["identity"]
    return {
        "name": process["name"],
        "owner": process["owner"],
        "link": link,
        "generation": _target(link),
        "config": process["config"],
        "text": read_text(process["config"]),
    }


def restore_identities(kept: list[dict[str, Any]]) -> list[str]:
    """Put links and configurations back; return the names of those that changed."""
    restored = []
    for one in kept:
        with acting_as(one["owner"]):
            if _restore(one):
                restored.append(one["name"])
    return restored


def _restore(one: dict[str, Any]) -> bool:
    changed = False
    if _target(one["link"]) != one["generation"]:
        changed = True
        if one["generation"] is None:
            os.unlink(one["link"])
        else:
            swap_symlink(one["link"], one["generation"])
    if read_text(one["config"]) != one["text"]:
        changed = True
        if one["text"] is None:
            os.unlink(one["config"])
        else:
            write_private(one["config"], one["text"])
    return changed


def _target(link: str) -> str | None:
    return os.readlink(link) if os.path.islink(link) else None
