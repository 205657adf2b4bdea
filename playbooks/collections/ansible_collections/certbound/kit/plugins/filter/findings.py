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


def legs(deployment: Mapping[str, Any]) -> list[Json]:
    """Return who plays the drill, host after host, each with the keys that lie there.

    A token must have been issued before it is exchanged or stolen: the victim comes
    first, then those who are sent its tokens, then the thief; and the victim once more,
    for it is the thief of what the target has got in its name. Where one host has the
    keys of several in a row, it plays them at once.
    """
    parties = deployment.get("drill")
    if not parties:
        return []
    known = {**deployment["services"], **deployment.get("gateways", {})}
    order = [parties["victim"], parties["target"]]
    if "phantom" in parties:
        order.append(parties["phantom"]["gateway"])
    if "exchanged" in parties:
        order.append(parties["exchanged"]["service"])
    order.append(parties["thief"])
    if "exchanged" in parties:
        order.append(parties["victim"])
    found: list[Json] = []
    for name in order:
        host = known[name]["host"]
        if not found or found[-1]["host"] != host:
            found.append({"host": host, "holding": [], "first": not found})
        if name not in found[-1]["holding"]:
            found[-1]["holding"].append(name)
    return found


class FilterModule:
    """Makes the filters known."""

    def filters(self) -> Json:
        """Return them by name."""
        return {"together": together, "legs": legs}
