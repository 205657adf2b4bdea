"""The roll-out over real hosts, in the order of a day that goes well and then does not.

Seven Debian hosts of two releases are booted for this. Each fixture is one run, and
needs the one before; a test that breaks something repairs it.
"""

import os
import re
import signal
from collections.abc import Iterator

import pytest

from services.drill.thefts import THEFTS
from tests.lab import faults
from tests.lab.fixtures import booted
from tests.lab.fleet import DEFAULT
from tests.playbooks.expiring import expire, issuing_key
from tests.playbooks.lab_rolling import LabRolling
from tests.playbooks.rolling import Run

pytestmark = [pytest.mark.lab, pytest.mark.rollout]

INSTANCES = {
    "token-1": ("token-service", 8440),
    "token-2": ("token-service", 8440),
    "storefront-1": ("storefront", 8441),
    "orders-1": ("orders", 8442),
    "orders-2": ("orders", 8442),
    "stock-1": ("stock", 8443),
}
HOSTS = {"ca", *INSTANCES}
SAFEST = 2.0  # of systemd-analyze security; 10 is the worst


class Day:
    """What was seen after a run."""

    def __init__(self, rolling: LabRolling, run: Run) -> None:
        """Look at every host, right after `run`."""
        self.run = run
        self.serials = {host: rolling.generations(host) for host in INSTANCES}
        self.processes = {host: rolling.processes(host) for host in INSTANCES}


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabRolling]:
    """Return a lab with nothing on it."""
    with booted("rollout", DEFAULT) as lab:
        rolling = LabRolling(lab, tmp_path_factory.mktemp("lab"))
        rolling.prepare()
        yield rolling


@pytest.fixture(scope="module")
def foreseen(rolling: LabRolling) -> Run:
    """Check mode on an empty fleet."""
    run = rolling.play("site", "--check", "--diff")
    assert run.returncode == 0, run.said
    return run


@pytest.fixture(scope="module")
def first(rolling: LabRolling, foreseen: Run) -> Day:
    """Run the first roll-out, as talkative as it gets."""
    for host in HOSTS:
        assert rolling.lab.ssh.attempt(host, "ls /var/lib/certbound").returncode
    run = rolling.play("site", "-vvv", "--diff")
    assert run.returncode == 0, run.said
    return Day(rolling, run)


@pytest.fixture(scope="module")
def second(rolling: LabRolling, first: Day) -> Day:
    """The same once more."""
    run = rolling.play("site", "--diff", "--skip-tags", "drill")
    assert run.returncode == 0, run.said
    return Day(rolling, run)


def test_check_mode_says_who_would_get_what_and_why(foreseen: Run) -> None:
    """On an empty fleet, check mode names every identity and the reason."""
    for host, (service, _) in INSTANCES.items():
        expected = f"+{service}@{host}: would issue, because: no certificate yet"
        assert expected in foreseen.said
    assert set(foreseen.recap["hosts"]) == HOSTS


def test_every_instance_serves_its_own_certificate(
    rolling: LabRolling, first: Day
) -> None:
    """The live port of each host serves what lies there, and all differ."""
    served = {host: rolling.served(host, port) for host, (_, port) in INSTANCES.items()}
    assert served == {host: first.serials[host][INSTANCES[host][0]] for host in served}
    assert len(set(served.values())) == len(INSTANCES)


def test_every_call_is_tried_and_every_theft(first: Day) -> None:
    """Ten pairs of instances and every theft; nothing differs from the topology."""
    _, _, after = first.run.stdout.partition("PLAY RECAP")
    calls, _, drill = after.partition("Drill: ")
    assert calls.count("orders@orders-1") == 6  # an identity, and five calls
    # Opaque tokens need a store that the lab's token services share, and have none.
    thefts = [theft for theft in THEFTS if set(theft.expected) != {"phantom"}]
    assert drill.count(" ok\n") == len(thefts)
    assert "DIFFERS" not in after


def test_the_probe_names_the_group_of_each_edge(first: Day) -> None:
    """Two hosts of Debian 13 agree on ML-KEM; where one is older it is X25519."""
    _, _, after = first.run.stdout.partition("PLAY RECAP")
    edges = re.findall(r"\n +(\S+) +(\S+) +yes +200 +(\S+)", after)
    assert edges == [
        ("storefront", "orders@orders-1", "X25519"),
        ("storefront", "orders@orders-2", "X25519MLKEM768"),
        ("orders@orders-1", "stock", "X25519"),
        ("orders@orders-2", "stock", "X25519MLKEM768"),
    ]


def test_each_host_gets_its_wave(first: Day) -> None:
    """The canary is one host; the others follow in two waves."""
    waves = first.run.stdout.count("PLAY [Processes]")
    assert waves == 3


@pytest.mark.parametrize("host", ["token-1", "orders-1"])
def test_units_are_shut_in(rolling: LabRolling, first: Day, host: str) -> None:
    """By systemd's own rating a service is hardly exposed, on both Debians."""
    unit = f"certbound-{INSTANCES[host][0]}.service"
    told = rolling.lab.ssh.run(host, f"systemd-analyze security --no-pager {unit}")
    (exposure,) = re.findall(r"exposure level for \S+: ([0-9.]+)", told)
    assert float(exposure) <= SAFEST


@pytest.mark.parametrize("host", ["orders-1", "orders-2"])
def test_keys_are_their_users_alone(rolling: LabRolling, first: Day, host: str) -> None:
    """Everything of an instance belongs to its user, and nobody else can read it."""
    found = rolling.lab.ssh.run(
        host,
        "sudo find /var/lib/certbound/services/orders ! -type l"
        " \\( ! -user certbound-orders -o -perm /077 \\)",
    )
    assert found == ""


def test_the_ca_keeps_no_passphrase(rolling: LabRolling, first: Day) -> None:
    """The passphrases are on the controller, and in no file or journal of the CA's."""
    secrets = list((rolling.controller / "secrets").iterdir())
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    for path in secrets:
        done = rolling.lab.ssh.attempt(
            "ca",
            "sudo sh -c 'cat > /run/wanted; journalctl --no-pager | grep -cFf"
            " /run/wanted; grep -rlFf /run/wanted /var /etc /home /root /tmp /opt"
            " /run --exclude=wanted; rm /run/wanted'",
            stdin=path.read_text(),
        )
        assert done.stdout.split() == ["0"], path.name
        assert path.read_text().strip() not in first.run.said
        assert path.read_text() not in (rolling.base / "ansible.log").read_text()


def test_nothing_secret_is_said(first: Day) -> None:
    """At -vvv with --diff there is no private key and no token on the screen."""
    assert "PRIVATE KEY" not in first.run.said
    assert not re.search(r"eyJ[\w-]{20,}\.", first.run.said)


def test_a_release_has_its_bill_of_materials(rolling: LabRolling, first: Day) -> None:
    """What runs was installed by hash, and what is in it is written beside it."""
    told = rolling.lab.ssh.run(
        "orders-2", "cat /opt/certbound/current/sbom.cdx.json; ls -ld /opt/certbound/*/"
    )
    assert '"bomFormat": "CycloneDX"' in told
    assert "pkg:pypi/cryptography@" in told
    assert "root root" in told


def test_second_run_changes_nothing(first: Day, second: Day) -> None:
    """Nothing is changed, signed or restarted, on any host."""
    changed = {
        name: host["changed"] for name, host in second.run.recap["hosts"].items()
    }
    assert changed == dict.fromkeys(HOSTS, 0)
    assert second.serials == first.serials
    assert second.processes == first.processes
    _, _, after = second.run.stdout.partition("Sign all requests at once]")
    assert after.splitlines()[1].startswith("skipping")


def test_third_run_in_check_mode_prints_no_difference(
    rolling: LabRolling, second: Day
) -> None:
    """With nothing to do there is nothing to foresee."""
    run = rolling.play("site", "--check", "--diff", "--skip-tags", "drill,verify")
    assert run.returncode == 0, run.said
    assert run.recap["diffs"] == []
    assert run.changed == 0


def test_a_connection_outlives_a_restart(rolling: LabRolling, second: Day) -> None:
    """Who connects while the process is being started anew waits, and is served."""
    ssh = rolling.lab.ssh
    before = rolling.processes("stock-1")
    ssh.run("stock-1", "sudo systemctl stop certbound-stock.service")
    assert rolling.served("stock-1", 8443) == second.serials["stock-1"]["stock"]
    assert rolling.processes("stock-1") != before


def test_a_failing_wave_returns_to_what_it_had(
    rolling: LabRolling, second: Day
) -> None:
    """The canary of a broken release goes back by itself; nobody else is touched.

    The run ends red, with the reason and the command that resumes.
    """
    good = rolling.topology.read_text()
    broken = good.replace("services.samples.orders:create_app", "services.nowhere:app")
    rolling.topology.write_text(broken)
    only = ("--limit", "orders-1,orders-2", "--tags", "enrol,services")
    run = rolling.play("site", *only)
    assert run.returncode == 2, run.said
    rolling.topology.write_text(good)
    assert "app 'services.nowhere:app'" in run.said
    assert "this host has what it had before" in run.said
    resume = run.said.partition("Run again: ")[2].splitlines()[0]
    assert resume.startswith(".venv/bin/python -m tests.lab run ")
    assert resume.endswith("--limit orders-1,orders-2 --tags enrol,services")
    orders = second.serials["orders-1"]["orders"]
    assert rolling.generations("orders-1") == {"orders": orders}
    assert rolling.served("orders-1", 8442) == orders
    assert rolling.processes("orders-2") == second.processes["orders-2"]
    again = rolling.play("site", *only, "--check", "--diff")
    assert again.recap["diffs"] == [], again.said


def test_a_wrong_clock_is_named_before_anything_is_issued(
    rolling: LabRolling, second: Day
) -> None:
    """A host an hour ahead ends the run at once."""
    faults.skew_clock(rolling.lab.ssh, "stock-1", "+1h")
    try:
        run = rolling.play("site", "-e", "certbound_renew_before=86398")
    finally:
        faults.skew_clock(rolling.lab.ssh, "stock-1", "0")
    assert run.returncode == 2
    assert re.search(r"clock is 3[56]\d\d s ahead of the controller's", run.said)
    assert "Sign all requests" not in run.said


def test_a_full_disk_is_named_and_what_runs_goes_on(
    rolling: LabRolling, second: Day
) -> None:
    """Nothing is half-written; the old generation keeps serving."""
    faults.fill_disk(rolling.lab.ssh, "orders-2")
    try:
        run = rolling.play("site", "--limit", "orders-2")
    finally:
        faults.empty_disk(rolling.lab.ssh, "orders-2")
    assert run.returncode == 2
    assert re.search(r"the disk of \S+ has \d MiB left", run.said)
    assert rolling.generations("orders-2") == second.serials["orders-2"]
    assert rolling.served("orders-2", 8442) == second.serials["orders-2"]["orders"]


def test_an_unreachable_host_is_named_and_the_others_are_served(
    rolling: LabRolling, second: Day
) -> None:
    """All but the host that is off the network get new certificates; the run is red."""
    rolling.lab.ssh.hang_up()
    rolling.lab.network.unplug("stock-1")
    try:
        run = rolling.play(
            "site", "-e", "certbound_renew_before=86398", "--skip-tags", "drill"
        )
    finally:
        rolling.lab.network.plug("stock-1")
    assert run.returncode != 0
    assert "stock-1: " in run.said.partition("Failed:")[2]
    assert "nothing is known of stock@stock-1" in run.said
    for host in set(INSTANCES) - {"stock-1"}:
        assert rolling.generations(host) != second.serials[host], host
    assert rolling.generations("stock-1") == second.serials["stock-1"]


def test_a_controller_killed_in_the_middle_converges(
    rolling: LabRolling, second: Day
) -> None:
    """Ansible is killed and a host loses power while new keys wait; one run heals."""
    with rolling.begin("site", "-e", "certbound_renew_before=86398") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "Sign all requests at once" in line:
                break
        os.killpg(process.pid, signal.SIGKILL)
    rolling.lab.cut("token-2")
    rolling.lab.start("token-2")
    run = rolling.play("site", "--skip-tags", "drill")
    assert run.returncode == 0, run.said
    for host, (service, port) in INSTANCES.items():
        assert rolling.served(host, port) == rolling.generations(host)[service]


def test_when_every_certificate_has_expired_one_run_heals(
    rolling: LabRolling, second: Day
) -> None:
    """Nobody can speak to anybody; the next run issues anew, and all is served."""
    key = issuing_key(rolling)
    for host, (service, _) in INSTANCES.items():
        expire(rolling, host, service, key)
    run = rolling.play("site", "--skip-tags", "drill")
    assert run.returncode == 0, run.said
    for host, (service, port) in INSTANCES.items():
        assert rolling.served(host, port) == rolling.generations(host)[service]
    assert "DIFFERS" not in run.said


def test_uninstalling_leaves_nothing_but_the_ca(
    rolling: LabRolling, second: Day
) -> None:
    """Units, users, keys and releases are gone; the ledger is where it was."""
    run = rolling.play("uninstall")
    assert run.returncode == 0, run.said
    for host in INSTANCES:
        told = rolling.lab.ssh.attempt(
            host,
            "ls -d /var/lib/certbound /opt/certbound /etc/systemd/system/certbound-*;"
            " getent passwd | grep certbound-; systemctl list-units --no-legend -q"
            " 'certbound-*'",
        )
        assert told.stdout == "", host
    assert "ledger.sqlite" in rolling.lab.ssh.run("ca", "sudo ls /var/lib/certbound/ca")
