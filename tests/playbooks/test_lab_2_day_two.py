"""Day two on real hosts: looking, stopping, adding and removing, a part at a time."""

import pytest
import yaml

from tests.playbooks.lab_day import AT_ONCE, Day, check_served, installed
from tests.playbooks.lab_rolling import LabRolling

pytest_plugins = ["tests.playbooks.lab_fixtures"]
pytestmark = [pytest.mark.lab, pytest.mark.rollout]

INVOICES = {
    "hosts": ["stock-1"],
    "port": 8450,
    "app": "services.samples.stock:create_app",
    "resource": "/stock",
    "scopes": ["invoices.read"],
}


def test_a_healthy_fleet_passes_its_own_tests(
    lab_rolling: LabRolling, second: Day
) -> None:
    """`pytest --inventory` is green for every host, and nothing of it is skipped."""
    found = lab_rolling.live("healthy")
    assert found.run.returncode == 0, found.run.stdout
    assert {tuple(said) for said in found.cases.values()} == {()}
    for case in (
        "test_the_key_is_its_users_alone[orders@orders-1]",
        "test_the_port_presents_what_is_installed[token-service@token-2]",
        "test_an_allowed_call_is_answered[orders->stock]",
        "test_any_other_call_is_refused_twice[stock->orders]",
    ):
        assert case in found.cases
    assert "report.html" in found.run.stdout
    page = lab_rolling.controller / "report.html"
    assert "stock-1" in page.read_text()


def test_a_stopped_service_is_named(lab_rolling: LabRolling, second: Day) -> None:
    """Stopped by down.yml on one host, the tests name it; site.yml starts it."""
    run = lab_rolling.play("down", "--limit", "stock-1")
    assert run.returncode == 0, run.said
    assert lab_rolling.processes("stock-1") == {}
    found = lab_rolling.live("stopped")
    assert found.run.returncode == 1
    assert {
        "test_a_host_presents_its_identities_and_no_others[stock-1]",
        "test_nobody_was_left_out",
        "test_the_port_presents_what_is_installed[stock@stock-1]",
        "test_an_allowed_call_is_answered[orders->stock]",
    } <= found.failed
    others = {name for name in found.failed if "@" in name and "stock@" not in name}
    assert others == set()
    run = lab_rolling.play("site", "--limit", "stock-1", "--tags", "services")
    assert run.returncode == 0, run.said
    assert check_served(lab_rolling) == second.serials


LONG = ("release", "ca", "enrol", "verify", "drill")


@pytest.mark.parametrize(
    "tag",
    ["", "services", *(pytest.param(tag, marks=pytest.mark.long) for tag in LONG)],
)
def test_one_host_or_one_part_alone(
    lab_rolling: LabRolling, second: Day, tag: str
) -> None:
    """On one host, by each tag, nothing changes; -vvv tells no secret."""
    tags = ("--tags", tag) if tag else ("--skip-tags", "drill")
    run = lab_rolling.play("site", "--limit", "orders-1", "-vvv", "--diff", *tags)
    assert run.returncode == 0, run.said
    assert run.changed == 0
    assert run.recap["diffs"] == []
    assert lab_rolling.secrets_in(run.said) == []


def test_a_drill_alone_tells_no_token(lab_rolling: LabRolling, second: Day) -> None:
    """drill.yml steals over two hosts; at -vvv its tokens are on no screen."""
    run = lab_rolling.play("drill", "-vvv", "--limit", "orders-1")
    assert run.returncode == 0, run.said
    assert "Drill: " in run.stdout
    assert run.changed == 0
    assert lab_rolling.secrets_in(run.said) == []


def test_down_works_with_the_topology_that_was_kept(
    lab_rolling: LabRolling, second: Day
) -> None:
    """Where it can no longer be read, nothing is stopped, and the copy is named."""
    kept = lab_rolling.controller / "topology.yml"
    good = lab_rolling.topology.read_text()
    lab_rolling.topology.write_text(good.replace("version: 1", "version: 7", 1))
    try:
        run = lab_rolling.play("down")
        assert check_served(lab_rolling)
        last = lab_rolling.play(
            "down",
            *("--limit", "orders-2"),
            environment={"CERTBOUND_TOPOLOGY": str(kept)},
        )
    finally:
        lab_rolling.topology.write_text(good)
    assert run.returncode == 4
    assert "topology.yml" in run.said
    assert "version" in run.said
    assert f"CERTBOUND_TOPOLOGY={kept}" in run.said
    assert last.returncode == 0, last.said
    assert lab_rolling.processes("orders-2") == {}
    up = lab_rolling.play("site", "--limit", "orders-2", "--tags", "services")
    assert up.returncode == 0, up.said
    assert check_served(lab_rolling)


@pytest.mark.long
def test_a_host_leaves_and_a_service_comes(
    lab_rolling: LabRolling, second: Day
) -> None:
    """Only the new identity is issued; nobody else is restarted; the host is empty."""
    before = Day(lab_rolling, second.run)
    run = lab_rolling.play("uninstall", "--limit", "orders-2")
    assert run.returncode == 0, run.said
    document = yaml.safe_load(lab_rolling.topology.read_text())
    del document["hosts"]["orders-2"]
    document["services"]["orders"]["hosts"] = ["orders-1"]
    document["services"]["invoices"] = INVOICES
    lab_rolling.topology.write_text(yaml.safe_dump(document))
    run = lab_rolling.play("site", *AT_ONCE, "--skip-tags", "drill")
    assert run.returncode == 0, run.said
    after = Day(lab_rolling, run)
    assert installed(lab_rolling, "orders-2") == ""
    assert after.issued == [*before.issued, "invoices@stock-1"]
    assert "invoices" in lab_rolling.clients("token-1") & lab_rolling.clients("token-2")
    assert check_served(lab_rolling) == after.serials
    for host in after.serials:
        assert before.serials[host].items() <= after.serials[host].items()
        assert before.processes[host].items() <= after.processes[host].items()


@pytest.mark.long
def test_a_host_comes_and_a_service_leaves(
    lab_rolling: LabRolling, second: Day
) -> None:
    """The one is issued to alone; of the other no process, key or registration stays.

    Its certificate is left to expire: nothing in the ledger comes after its issue.
    """
    before = Day(lab_rolling, second.run)
    lab_rolling.restore()
    run = lab_rolling.play("site", *AT_ONCE, "--skip-tags", "drill")
    assert run.returncode == 0, run.said
    after = Day(lab_rolling, run)
    assert after.issued == [*before.issued, "orders@orders-2"]
    assert installed(lab_rolling, "stock-1", "invoices") == ""
    assert "invoices" not in lab_rolling.clients("token-1")
    assert "invoices" not in lab_rolling.clients("token-2")
    assert check_served(lab_rolling) == after.serials
    for host in before.serials.keys() - {"stock-1"}:
        assert before.serials[host] == after.serials[host]
        assert before.processes[host] == after.processes[host]
    stock = "certbound-stock.service"
    assert after.processes["stock-1"][stock] == before.processes["stock-1"][stock]
