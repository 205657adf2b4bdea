"""Filters that put together what hosts have seen of the CA's ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

SEEN = "ledger_seen"  # as the role registers it


def heads(results: Mapping[str, Mapping[str, Any]], hosts: list[str]) -> Json:
    """Return the heads that hosts keep, as `pki ledger verify --witnesses` reads them.

    `results` are the variables of each host, among them what it has printed. Who keeps
    none, or what cannot be read, is among the `silent`.
    """
    witnesses: Json = {}
    for host in hosts:
        try:
            kept = json.loads(results[host][SEEN]["stdout"])
        except (KeyError, ValueError):
            continue
        if isinstance(kept, dict):
            witnesses[host] = kept
    silent = [host for host in hosts if host not in witnesses]
    return {"witnesses": witnesses, "silent": silent}


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> Json:
        """Return the filters by name."""
        return {"heads": heads}
