"""What several hosts have found is put together, and what is missing is named."""

import json
from typing import Any

from ansible_collections.certbound.kit.plugins.filter.findings import (
    PROBE,
    loot,
    played,
    together,
)


def answer(host: str, *, ok: bool = True) -> dict[str, Any]:
    identity = {"service": "orders", "host": host}
    said = json.dumps({"identities": [identity], "edges": [{"by": host}], "ok": ok})
    return {PROBE: {"stdout": said}}


def found_on(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = together(
        results, list(results), [f"orders@{host}" for host in sorted(results)]
    )["probe"]
    return found


def test_findings_of_all_hosts_are_one() -> None:
    """Identities come in the order of the topology, calls in that of the hosts."""
    found = found_on({"b": answer("b"), "a": answer("a")})
    assert [one["host"] for one in found["identities"]] == ["a", "b"]
    assert found["edges"] == [{"by": "b"}, {"by": "a"}]
    assert found["ok"]
    assert found["missing"] == []


def test_a_host_that_said_nothing_is_missed() -> None:
    """Silence is not taken for health."""
    found = found_on({"a": answer("a"), "b": {PROBE: {"unreachable": True}}})
    assert found["missing"] == ["orders@b"]
    assert not found["ok"]


def test_one_finding_spoils_it_all() -> None:
    """If one host saw a difference, there is one."""
    assert not found_on({"a": answer("a", ok=False)})["ok"]


def test_where_nobody_was_asked_there_is_nothing_to_report() -> None:
    """A run without verification has no table, and misses nobody."""
    assert together({"a": {}}, ["a"], ["orders@a"]) == {}


def test_a_host_that_left_the_run_early_is_missed_too() -> None:
    """Where anybody was asked, whoever was not is named."""
    assert found_on({"a": answer("a"), "b": {}})["missing"] == ["orders@b"]


def test_the_drill_of_two_hosts_is_one_table() -> None:
    """The thief's row stands third, where it stands when one host plays alone."""
    rows = [{"tried": str(number), "ok": True} for number in range(4)]
    result = {"victim": "v", "rows": [*rows[:2], rows[3]], "ok": True}
    victims = json.dumps({"result": result, "loot": {"bearer": "a", "bound": "b"}})
    thiefs = json.dumps({"rows": [{**rows[2], "ok": False}]})
    table = played([victims, thiefs])
    assert [row["tried"] for row in table["rows"]] == ["0", "1", "2", "3"]
    assert not table["ok"]
    assert loot(victims) == {"bearer": "a", "bound": "b"}
