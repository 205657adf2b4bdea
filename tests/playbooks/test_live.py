"""`pytest --inventory` on a roll-out: green as it stands, red where it differs.

The roll-out is local here; `test_lab_2_day_two.py` does the same on several hosts.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.playbooks.live_testing import Verdict, command, verdict
from tests.playbooks.rolling import PROJECT, Rolling

pytestmark = pytest.mark.rollout


def asked(rolling: Rolling, name: str) -> Verdict:
    """Return what the tests say of it now."""
    junit = rolling.base / f"{name}.xml"
    return verdict(command(rolling.base / "inventory.yml", junit), junit)


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """Return a roll-out that runs; leave no process behind."""
    rolling = Rolling(tmp_path_factory.mktemp("live"))
    try:
        run = rolling.play("site")
        assert run.returncode == 0, run.said
        yield rolling
    finally:
        rolling.play("down")


@pytest.fixture(scope="module")
def tested(rolling: Rolling) -> Verdict:
    """Return what the tests say of it as it stands."""
    return asked(rolling, "as-it-stands")


def test_what_was_rolled_out_passes(tested: Verdict) -> None:
    """Nothing fails, nothing is skipped, and the page is named."""
    assert tested.run.returncode == 0, tested.run.stdout
    assert {tuple(said) for said in tested.cases.values()} == {()}
    assert "report.html" in tested.run.stdout


def test_there_is_a_test_for_everything(tested: Verdict) -> None:
    """Each host, identity, service and pair of services has tests of its own."""
    for case in (
        "test_a_host_presents_its_identities_and_no_others[localhost]",
        "test_the_port_presents_what_is_installed[token-service@localhost]",
        "test_a_service_is_where_it_says[stock]",
        "test_an_allowed_call_is_answered[storefront->orders]",
        "test_any_other_call_is_refused_twice[stock->orders]",
        "test_an_allowed_call_is_answered[edge->orders]",
    ):
        assert case in tested.cases
    pairs = [case for case in tested.cases if "->" in case]
    assert len(pairs) == 12


def test_a_roll_out_leaves_a_page(rolling: Rolling) -> None:
    """Page and evidence are in the root, beside the deployment's description."""
    page = (rolling.root / "report.html").read_text()
    assert "What a thief gets" in page or "Who may call whom" in page
    assert (rolling.root / "report.json").exists()


def test_what_is_not_rolled_out_fails(rolling: Rolling, tested: Verdict) -> None:
    """A call that the topology has and the deployment has not is named, alone."""
    good = rolling.topology.read_text()
    changed = good.replace(
        "      orders: [orders.read]\n\n  orders:",
        "      orders: [orders.read]\n      stock: [stock.read]\n\n  orders:",
    )
    assert changed != good
    rolling.topology.write_text(changed)
    try:
        found = asked(rolling, "changed")
    finally:
        rolling.topology.write_text(good)
    assert found.run.returncode == 1
    assert found.failed == {
        "test_it_was_rolled_out_from_this_topology",
        "test_an_allowed_call_is_answered[storefront->stock]",
    }


def test_an_inventory_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    """A wrong path is a usage error, not fifty failures."""
    missing = tmp_path / "inventory.yml"
    missing.write_text("all: {hosts: {one: {}}}")
    said = subprocess.run(
        command(missing, tmp_path / "junit.xml"),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 4
    assert "no host in it has a certbound_deployment" in said.stdout + said.stderr


def test_without_an_inventory_everything_skips() -> None:
    """The folder is no burden for who runs all tests."""
    said = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests/live"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0
    assert "no --inventory" in said.stdout
    assert "passed" not in said.stdout
