"""What several hosts have found is put together, and what is missing is named."""

import json

from ansible_collections.certbound.kit.plugins.filter.findings import (
    loot,
    played,
    together,
)


def answer(host: str, *, ok: bool = True) -> str:
    identity = {"service": "orders", "host": host}
    return json.dumps({"identities": [identity], "edges": [{"by": host}], "ok": ok})


def test_findings_of_all_hosts_are_one() -> None:
    """Identities come in the order of the topology, calls in that of the hosts."""
    found = together([answer("b"), answer("a")], ["orders@a", "orders@b"])
    assert [one["host"] for one in found["identities"]] == ["a", "b"]
    assert found["edges"] == [{"by": "b"}, {"by": "a"}]
    assert found["ok"]
    assert found["missing"] == []


def test_a_host_that_said_nothing_is_missed() -> None:
    """Silence is not taken for health."""
    found = together([answer("a"), None], ["orders@a", "orders@b"])
    assert found["missing"] == ["orders@b"]
    assert not found["ok"]


def test_one_finding_spoils_it_all() -> None:
    """If one host saw a difference, there is one."""
    assert not together([answer("a", ok=False)], ["orders@a"])["ok"]


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
