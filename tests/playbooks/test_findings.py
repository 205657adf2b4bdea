"""What several hosts have found is put together, and what is missing is named."""

import json
from typing import Any

from ansible_collections.certbound.kit.plugins.filter.findings import (
    PROBE,
    legs,
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


def spread(**hosts: str) -> dict[str, Any]:
    parties = {name: {"host": hosts.get(name, "one")} for name in "vtxo"}
    drill = {
        "victim": "v",
        "target": "t",
        "thief": "x",
        "exchanged": {"service": "o"},
        "phantom": {"gateway": "g"},
    }
    gateways = {"g": {"host": hosts.get("g", "one")}}
    return {"services": parties, "gateways": gateways, "drill": drill}


def test_one_host_with_all_keys_plays_the_drill_alone() -> None:
    """There is one leg, and everybody's key is named once."""
    (leg,) = legs(spread())
    assert leg == {"host": "one", "holding": ["v", "t", "g", "o", "x"], "first": True}


def test_the_drill_of_several_hosts_is_a_relay_that_ends_where_it_began() -> None:
    """The victim is first and last; neighbours on one host play together."""
    relay = legs(spread(v="a", g="a", t="b", o="c", x="c"))
    assert [(leg["host"], leg["holding"], leg["first"]) for leg in relay] == [
        ("a", ["v"], True),
        ("b", ["t"], False),
        ("a", ["g"], False),
        ("c", ["o", "x"], False),
        ("a", ["v"], False),
    ]


def test_without_a_drill_nobody_plays() -> None:
    """A topology without the section has no legs."""
    assert legs({"services": {}}) == []


def test_a_drill_of_two_kinds_needs_three_parties() -> None:
    """Without gateway and exchange, nobody but victim, target and thief has to play."""
    described = spread(t="b", x="c")
    del described["drill"]["exchanged"], described["drill"]["phantom"]
    assert [leg["holding"] for leg in legs(described)] == [["v"], ["t"], ["x"]]
