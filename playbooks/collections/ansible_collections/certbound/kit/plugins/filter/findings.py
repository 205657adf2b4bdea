"""Filters that put together what several hosts have found."""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]


def together(answers: list[str | None], expected: list[str]) -> Json:
    """Return the findings of all hosts as one, and name the hosts that said nothing.

    `answers` are what the probe has printed on each host, None where it has not been;
    `expected` are the instances that should have been looked at, in the order of the
    topology.
    """
    findings = [json.loads(answer) for answer in answers if answer]
    identities = {
        f"{one['service']}@{one['host']}": one
        for finding in findings
        for one in finding["identities"]
    }
    missing = [name for name in expected if name not in identities]
    return {
        "identities": [identities[name] for name in expected if name in identities],
        "edges": [edge for finding in findings for edge in finding["edges"]],
        "missing": missing,
        "ok": not missing and all(finding["ok"] for finding in findings),
    }


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
