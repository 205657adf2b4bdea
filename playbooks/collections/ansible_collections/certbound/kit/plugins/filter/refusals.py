"""Filters about revoked certificates: who is meant, and who has refused them when."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Json = dict[str, Any]

_HEAD = ("caller", "refused by", "first answer", "after", "says")


def refusals(
    printed: Sequence[str], withdrawn: Mapping[str, Any], bound: float
) -> Json:
    """Return who took how long to refuse what is revoked, as a table, and who failed.

    Args:
        printed: what C(python -m services refusals) has said on each host.
        withdrawn: what the module C(revocation) has returned.
        bound: seconds within which everybody must have refused.

    The time runs from the whole second in which the CA began to revoke, so that a
    refusal is never told to have come sooner than it did.
    """
    entries = [*withdrawn["revoked_before"], *withdrawn["revoked"]]
    moments = {one["identity"]: _seconds(one["revoked_at"]) for one in entries}
    now = {one["identity"] for one in withdrawn["revoked"]}
    rows, late = [], []
    for said in printed:
        for watched in json.loads(said):
            for one in watched["refusals"]:
                after = _after(one, moments, now)
                names = one["caller"], one["party"], one["before"]
                rows.append((*names, _words(after), one["said"]))
                if after is None or after > bound:
                    late.append(f"{one['party']} ({_words(after)})")
    return {"table": _table(rows), "late": late, "count": len(rows)}


def _after(one: Json, moments: Mapping[str, float], now: set[str]) -> float | None:
    """Return seconds from the revocation to a refusal; 0 for what was before."""
    if one["refused_at"] is None:
        return None
    if one["caller"] not in now:
        return 0.0
    return max(0.0, float(one["refused_at"]) - moments[one["caller"]])


def _words(after: float | None) -> str:
    return "never" if after is None else f"{after:.1f} s"


def _seconds(text: str) -> float:
    moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return moment.timestamp()


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = [_HEAD, *((*row[:2], row[2][:40], *row[3:]) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in lines
    )


class FilterModule:
    """Makes the filters known."""

    def filters(self) -> Json:
        """Return them by name."""
        return {"refusals": refusals}
