"""Filters that put together what hosts have seen of the CA's ledger."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

# As the role registers them.
SEEN = "ledger_seen"
PRESENTED = "ledger_presented"


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


def presented(
    results: Mapping[str, Mapping[str, Any]],
    hosts: list[str],
    report: Mapping[str, Any] | None = None,
) -> Json:
    """Return what live ports present, as `pki inventory --reconcile` reads it.

    An identity of a host that has not answered is said to be just that. Its owner is
    the user of the system that it belongs to, if it has one of its own. In which groups
    its keys are agreed on, the last `report` has seen, if there is one.
    """
    told: Json = {}
    groups = _groups(report or {})
    for host in hosts:
        facts = results[host]
        answered = {
            one["identity"]: one for one in facts.get(PRESENTED, {}).get("evidence", [])
        }
        for identity in facts.get("certbound_identities", []):
            name = identity["identity"]
            seen = answered.get(name, {"reason": "its host has not answered"})
            told[name] = {
                "serials": seen.get("presented", []),
                "owner": identity.get("owner"),
                "reason": seen.get("reason"),
                "groups": sorted(groups.get(name, ())),
            }
    return {"presented": told}


def _groups(report: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return the groups of every call that a probe got an answer to, by identity."""
    found: dict[str, set[str]] = {}
    for edge in (report.get("probe") or {}).get("edges", []):
        if edge.get("status") is not None:
            for end in ("caller", "callee"):
                name = f"{edge[end]}@{edge.get(f'{end}_host')}"
                found.setdefault(name, set()).add(edge.get("group", "unknown"))
    return found


class FilterModule:
    """What Ansible asks for the filters of this file."""

    def filters(self) -> Json:
        """Return the filters by name."""
        return {"heads": heads, "presented": presented}
