"""The newest signed head of the CA's ledger, kept on a host that the CA cannot write.

Runs on the target with its own Python, so: the standard library of 3.8 and no more.
Whether the ledger goes on from what is kept here, only the CA can say:
C(python -m pki ledger verify --witnesses), which F(playbooks/audit.yml) asks.
"""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.certbound.kit.plugins.module_utils.files import (
    read_text,
    write_private,
)


class WitnessError(Exception):
    """What is kept here says that the CA's ledger is not what it was."""


def keep_witness(params: dict[str, Any], *, check_only: bool) -> None:
    """Keep the head that a module was given, if the CA was asked for it.

    Raises:
        WitnessError: as `keep_head`.
    """
    if params["ledger_witness"] and params["ledger_head"] is not None:
        keep_head(
            params["ledger_witness"],
            params["ledger_head"],
            replace=params["ledger_witness_replace"],
            check=check_only,
        )


def keep_head(
    path: str, head: dict[str, Any], *, replace: bool = False, check: bool = False
) -> None:
    """Keep `head` at `path` if it is newer; it is empty if the CA has signed none.

    With `replace` it takes the place of whatever is there, which is put beside.

    Raises:
        WitnessError: the head that is kept is newer, or another one for the same entry.
    """
    text = read_text(path)
    if text is not None and not replace:
        _check_follows(path, _read(path, text), head)
    wanted = json.dumps(head, indent=2, sort_keys=True) + "\n"
    if check or not head or wanted == text:
        return
    if text is not None and replace:
        write_private(path + ".before", text)
    write_private(path, wanted)


def _check_follows(path: str, kept: dict[str, Any], head: dict[str, Any]) -> None:
    number, newest = kept["sequence"], head.get("sequence", 0)
    if newest < number:
        raise WitnessError(
            f"the CA's ledger is older than what this host has seen: {path} has entry"
            f" {number} of {kept['time']}, the CA has signed none above {newest}. It"
            " was cut short, or is from an old backup (docs/backup.md)"
        )
    if newest == number and head["hash"] != kept["hash"]:
        raise WitnessError(
            f"the CA's ledger was rewritten: {path} has another entry {number}, of"
            f" {kept['time']} (docs/backup.md)"
        )


def _read(path: str, text: str) -> dict[str, Any]:
    try:
        kept = json.loads(text)
        if isinstance(kept["sequence"], int) and isinstance(kept["hash"], str):
            return {"time": "an unknown time", **kept}
    except (ValueError, KeyError, TypeError):
        pass
    raise WitnessError(f"{path} is no head of a ledger (docs/backup.md)")
