"""The worst day: what goes wrong on real hosts, and that one more run heals it."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.lab import faults
from tests.playbooks.expiring import expire, issuing_key
from tests.playbooks.lab_day import (
    AT_ONCE,
    CA,
    EVERYTHING,
    Day,
    check_served,
    installed,
    served,
)
from tests.playbooks.lab_rolling import LabRolling

pytest_plugins = ["tests.playbooks.lab_fixtures"]
pytestmark = [pytest.mark.lab, pytest.mark.rollout]

BOUND = 5.0  # seconds, as the topology has it


STOLEN = ("-e", "service=orders", "-e", "host=orders-1")
_ROW = re.compile(r"\n  orders@orders-1 +(\S+@\S+) .* (\d+\.\d) s  \d+ ")


def test_a_stolen_key_is_refused_everywhere_in_five_seconds(
    lab_rolling: LabRolling, second: Day
) -> None:
    """On every host, by every kind of process; the other replica goes on serving.

    With the command that the run ends with, the host comes back with another key.
    """
    before = check_served(lab_rolling)
    run = lab_rolling.play("revoke", *STOLEN)
    assert run.returncode == 0, run.said
    seconds = {name: float(after) for name, after in _ROW.findall(run.said)}
    print("from revoke to refusal:", seconds)  # noqa: T201 -- a figure
    others = {
        f"{name}@{host}"
        for host, names in lab_rolling.instances().items()
        for name in names
    }
    assert set(seconds) == others - {"orders@orders-1"}
    assert max(seconds.values()) <= BOUND
    again = lab_rolling.play("revoke", *STOLEN)
    assert (again.returncode, again.changed) == (0, 0), again.said
    words = run.said.partition("playbooks/site.yml ")[2].splitlines()[0].split()
    back = lab_rolling.play("site", *words, *AT_ONCE, "--skip-tags", "drill")
    assert back.returncode == 0, back.said
    assert "DIFFERS" not in back.said
    after = check_served(lab_rolling)
    changed = {host for host in after if after[host] != before[host]}
    assert changed == {"orders-1"}


def test_a_failing_wave_returns_to_what_it_had(
    lab_rolling: LabRolling, second: Day
) -> None:
    """The canary of a broken release goes back by itself; nobody else is touched.

    The run ends red, with the reason and the command that resumes.
    """
    before, processes = check_served(lab_rolling), lab_rolling.processes("orders-2")
    good = lab_rolling.topology.read_text()
    broken = good.replace("services.samples.orders:create_app", "services.nowhere:app")
    lab_rolling.topology.write_text(broken)
    only = ("--limit", "orders-1,orders-2", "--tags", "enrol,services")
    run = lab_rolling.play("site", *only)
    assert run.returncode == 2, run.said
    lab_rolling.topology.write_text(good)
    assert "app 'services.nowhere:app'" in run.said
    assert "this host has what it had before" in run.said
    resume = run.said.partition("Run again: ")[2].splitlines()[0]
    assert resume.startswith(".venv/bin/python -m tests.lab run ")
    assert resume.endswith("--limit orders-1,orders-2 --tags enrol,services")
    assert check_served(lab_rolling) == before
    assert lab_rolling.processes("orders-2") == processes
    again = lab_rolling.play("site", *only, "--check", "--diff")
    assert again.recap["diffs"] == [], again.said


def test_a_wrong_clock_is_named_before_anything_is_issued(
    lab_rolling: LabRolling, second: Day
) -> None:
    """A host an hour ahead ends the run at once."""
    faults.skew_clock(lab_rolling.lab.ssh, "stock-1", "+1h")
    try:
        run = lab_rolling.play("site", *EVERYTHING)
    finally:
        faults.skew_clock(lab_rolling.lab.ssh, "stock-1", "0")
    assert run.returncode == 2
    assert re.search(r"clock is 3[56]\d\d s ahead of the controller's", run.said)
    assert "Sign all requests" not in run.said


def test_a_full_disk_is_named_and_what_runs_goes_on(
    lab_rolling: LabRolling, second: Day
) -> None:
    """Nothing is half-written; the old generation keeps serving."""
    before = lab_rolling.generations("orders-2")
    faults.fill_disk(lab_rolling.lab.ssh, "orders-2")
    try:
        run = lab_rolling.play("site", "--limit", "orders-2")
    finally:
        faults.empty_disk(lab_rolling.lab.ssh, "orders-2")
    assert run.returncode == 2
    assert re.search(r"the disk of \S+ has \d MiB left", run.said)
    assert lab_rolling.left_over("orders-2") == ""
    assert check_served(lab_rolling)["orders-2"] == before


def test_an_unreachable_host_is_named_and_the_others_are_served(
    lab_rolling: LabRolling, second: Day
) -> None:
    """All but the host that is off the network get new certificates; the run is red."""
    before = check_served(lab_rolling)
    lab_rolling.lab.ssh.hang_up()
    lab_rolling.lab.network.unplug("stock-1")
    try:
        run = lab_rolling.play("site", *EVERYTHING, *AT_ONCE, "--skip-tags", "drill")
    finally:
        lab_rolling.lab.network.plug("stock-1")
    assert run.returncode != 0
    assert "stock-1: " in run.said.partition("Failed:")[2]
    assert "nothing is known of stock@stock-1" in run.said
    after = check_served(lab_rolling)
    assert {host for host in after if after[host] == before[host]} == {"stock-1"}


# The task that begins, or what is said after that, when Ansible is killed.
MOMENTS = (
    ("Make keys and requests where they are needed", "changed: ["),
    ("Sign all requests at once", ""),
    ("Install certificates and configurations", "changed: ["),
    ("Run the processes of this host under systemd", ""),
)
THREE = ("--limit", "orders-1,orders-2,token-2", "--skip-tags", "drill")


@pytest.mark.long
def test_a_controller_killed_at_any_task_converges(
    lab_rolling: LabRolling, second: Day
) -> None:
    """Killed at four tasks, one after the other; what serves goes on, one run heals."""
    before = check_served(lab_rolling)
    for task, said in MOMENTS:
        lab_rolling.kill_at(task, *EVERYTHING, *THREE, after=said)
        for host, serials in served(lab_rolling).items():
            assert all(serials.values()), (task, host)
    run = lab_rolling.play("site", *EVERYTHING, *THREE)
    assert run.returncode == 0, run.said
    after = check_served(lab_rolling)
    changed = {host for host in after if after[host] != before[host]}
    assert changed == {"orders-1", "orders-2", "token-2"}
    assert {lab_rolling.left_over(host) for host in changed} == {""}


def test_a_host_that_loses_power_in_the_middle_comes_back(
    lab_rolling: LabRolling, second: Day
) -> None:
    """It boots with whole files, the run names it and serves others; one more heals."""
    lab, before = lab_rolling.lab, check_served(lab_rolling)
    with lab_rolling.begin("site", *EVERYTHING, *AT_ONCE, *THREE) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Install certificates and configurations]" in line:
                break
        lab.cut("orders-1")
        lab.start("orders-1")
        said = process.stdout.read()
    assert process.returncode != 0
    assert "orders-1: " in said.partition("Failed:")[2], said
    lab.ssh.run(
        "orders-1",
        "sudo sh -euc 'cd /var/lib/certbound/services/orders/identity/current;"
        " openssl x509 -in certificate.pem -noout -pubkey >/run/certified;"
        " openssl pkey -in key.pem -pubout | cmp - /run/certified;"
        " openssl verify -CAfile bundle.pem -untrusted certificate.pem"
        " certificate.pem'",
    )
    run = lab_rolling.play("site", *THREE)
    assert run.returncode == 0, run.said
    after = check_served(lab_rolling)
    # Nor is the key lost for which the CA had signed.
    assert after["orders-1"] != before["orders-1"]
    assert after["token-2"] != before["token-2"]
    assert lab_rolling.left_over("orders-1") == ""


@pytest.mark.long
def test_the_cas_host_is_lost_and_put_back(
    lab_rolling: LabRolling, second: Day
) -> None:
    """An old backup is refused, because hosts have seen more; the newest is whole.

    The CA then renews as before, and what runs is what its ledger says.
    """
    backups = lab_rolling.controller / "backups"
    only = (*AT_ONCE, "--limit", "ca,stock-1", "--tags", "ca,enrol,services")
    for _ in range(2):
        run = lab_rolling.play("backup")
        assert run.returncode == 0, run.said
        run = lab_rolling.play("site", *only, *EVERYTHING)
        assert run.returncode == 0, run.said
    old, _ = sorted(backups.iterdir())
    newest = lab_rolling.play("backup")
    assert newest.returncode == 0, newest.said
    whole, before = max(backups.iterdir()), lab_rolling.issued()
    lab_rolling.lab.ssh.run(CA, "sudo rm -rf /var/lib/certbound/ca")
    refused = lab_rolling.play("restore", "-e", f"certbound_backup={old}")
    assert refused.returncode != 0
    assert re.search(r"entry \d+ was witnessed at .* old backup", refused.said)
    run = lab_rolling.play(
        "restore", *AT_ONCE, "--skip-tags", "drill", "-e", f"certbound_backup={whole}"
    )
    assert run.returncode == 0, run.said
    assert "DIFFERS" not in run.said
    assert lab_rolling.issued()[: len(before)] == before
    audit = lab_rolling.play("audit")
    assert (audit.returncode, audit.changed) == (0, 0), audit.said
    inventory = lab_rolling.play("inventory")
    differences = inventory.said.partition("hosts and ledger differ: ")[2]
    differing = re.findall(r"(\S+@[\w-]+)(?:: | presents )", differences)
    # Which day two took out of the topology; its certificate has not ended.
    assert set(differing) <= {"invoices@stock-1"}, inventory.said
    assert inventory.returncode == (2 if differing else 0)
    check_served(lab_rolling)


@pytest.mark.long
def test_when_every_certificate_has_expired_one_run_heals(
    lab_rolling: LabRolling, second: Day
) -> None:
    """Nobody can speak to anybody; the next run issues anew, and all is served."""
    key = issuing_key(lab_rolling)
    instances = lab_rolling.instances().items()
    with ThreadPoolExecutor() as pool:
        over = [
            pool.submit(expire, lab_rolling, host, name, key)
            for host, names in instances
            for name in names
        ]
    assert [one.result() for one in over]
    run = lab_rolling.play("site", *AT_ONCE, "--skip-tags", "drill")
    assert run.returncode == 0, run.said
    check_served(lab_rolling)
    assert "DIFFERS" not in run.said


def test_uninstalling_leaves_nothing_but_the_ca(
    lab_rolling: LabRolling, second: Day
) -> None:
    """Units, users, keys and releases are gone; the ledger is where it was."""
    run = lab_rolling.play("uninstall")
    assert run.returncode == 0, run.said
    for host in lab_rolling.instances():
        name = "enrolment" if host == CA else ""
        assert installed(lab_rolling, host, name) == "", host
    assert "ledger.sqlite" in lab_rolling.ca_files()
