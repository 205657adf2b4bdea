"""Filters that put together what several hosts have found."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Json = dict[str, Any]

PROBE = "evidence_probe"  # as the role registers it


def together(
    results: Mapping[str, Mapping[str, Any]], hosts: list[str], expected: list[str]
) -> Json:
    """Return the findings of all hosts as one, and name the instances nobody saw.

    `results` are the variables of each host, among them what its probe has printed, if
    it was reached and anything was printed. `expected` are the instances that should
    have been looked at, in the order of the topology. Where no host was asked at all,
    there is nothing to put together.
    """
    asked = [results[host][PROBE] for host in hosts if PROBE in results[host]]
    if not asked:
        return {}
    answers = [result.get("stdout") for result in asked]
    findings = [json.loads(answer) for answer in answers if answer]
    identities = {
        f"{one['service']}@{one['host']}": one
        for finding in findings
        for one in finding["identities"]
    }
    missing = [name for name in expected if name not in identities]
    found = {
        "identities": [identities[name] for name in expected if name in identities],
        "edges": [edge for finding in findings for edge in finding["edges"]],
        "missing": missing,
        "ok": not missing and all(finding["ok"] for finding in findings),
    }
    return {"probe": found}


def played(parts: list[str]) -> Json:
    """Return the table of a drill that was played on two hosts, the victim's first.

    The thief's row stands third: after its owner's use and that without a certificate.
    """
    victims, thiefs = (json.loads(part) for part in parts)
    table: Json = victims["result"]
    rows = [*table["rows"][:2], *thiefs["rows"], *table["rows"][2:]]
    return {**table, "rows": rows, "ok": all(row["ok"] for row in rows)}


def loot(part: str) -> Json:
    """Return the tokens that the victim's host gives the thief, for its input."""
    stolen: Json = json.loads(part)["loot"]
    return stolen


class FilterModule:
    """Makes the filters known."""

    def filters(self) -> Json:
        """Return them by name."""
        return {"together": together, "played": played, "loot": loot}
