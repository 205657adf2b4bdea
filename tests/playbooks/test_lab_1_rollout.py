"""The first roll-out over real hosts, by SSH, to be run by systemd."""

import re

import pytest

from services.drill.thefts import THEFTS
from tests.lab.fleet import DEFAULT, read_fleet
from tests.playbooks.lab_day import AT_ONCE, CA, Day, check_served
from tests.playbooks.lab_rolling import LabRolling
from tests.playbooks.rolling import Run

pytest_plugins = ["tests.playbooks.lab_fixtures"]
pytestmark = [pytest.mark.lab, pytest.mark.rollout]

HOSTS = list(read_fleet(DEFAULT).hosts)
OURS = "certbound.kit."
SAFEST = 2.0  # of systemd-analyze security; 10 is the worst


def test_check_mode_says_who_would_get_what_and_why(
    lab_rolling: LabRolling, foreseen: Run
) -> None:
    """On an empty fleet, check mode names every identity and the reason."""
    for host, instances in lab_rolling.instances().items():
        for name in instances:
            expected = f"+{name}@{host}: would issue, because: no certificate yet"
            assert expected in foreseen.said
    assert set(foreseen.recap["hosts"]) == {*HOSTS}


def test_every_instance_serves_its_own_certificate(
    lab_rolling: LabRolling, first: Day
) -> None:
    """The live port of each host serves what lies there, and all differ."""
    assert check_served(lab_rolling) == first.serials
    serials = [one for host in first.serials.values() for one in host.values()]
    assert len(set(serials)) == len(serials)


def test_every_call_is_tried_and_every_theft(first: Day) -> None:
    """Every pair of instances and every theft; nothing differs from the topology."""
    _, _, after = first.run.stdout.partition("PLAY RECAP")
    calls, _, drill = after.partition("Drill: ")
    assert calls.count("orders@orders-1") == 8  # installed, served, and six calls
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
        ("edge", "orders@orders-1", "X25519"),
        ("edge", "orders@orders-2", "X25519MLKEM768"),
        ("orders@orders-1", "stock", "X25519"),
        ("orders@orders-2", "stock", "X25519MLKEM768"),
    ]


def test_each_host_gets_its_wave(first: Day) -> None:
    """The canary is one host; the others follow in two waves."""
    waves = first.run.stdout.count("PLAY [Processes]")
    assert waves == 3


@pytest.mark.parametrize("host", [host for host in HOSTS if host != CA])
def test_units_are_shut_in(lab_rolling: LabRolling, first: Day, host: str) -> None:
    """By systemd's own rating every service is hardly exposed, on both Debians."""
    names = first.serials[host]
    units = " ".join(f"certbound-{name}.service" for name in names)
    told = lab_rolling.lab.ssh.run(
        host,
        f"for unit in {units}; do systemd-analyze security --no-pager $unit; done",
    )
    found = re.findall(r"exposure level for certbound-(\S+)\.service: ([0-9.]+)", told)
    assert {name for name, _ in found} == {*names}
    assert all(float(exposure) <= SAFEST for _, exposure in found), found


def test_the_ca_keeps_no_passphrase(lab_rolling: LabRolling, first: Day) -> None:
    """The passphrases are on the controller, and in no file or journal of the CA's.

    Its front is handed one by systemd, in memory.
    """
    secrets = list((lab_rolling.controller / "secrets").iterdir())
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    for path in secrets:
        done = lab_rolling.lab.ssh.attempt(
            "ca",
            "sudo sh -c 'cat > /run/wanted; journalctl --no-pager | grep -cFf"
            " /run/wanted; grep -rlFf /run/wanted /var /etc /home /root /tmp /opt"
            " /run --exclude=wanted --exclude-dir=credentials; rm /run/wanted'",
            stdin=path.read_text(),
        )
        assert done.stdout.split() == ["0"], path.name


def test_the_front_opens_its_key_with_what_systemd_hands_it(
    lab_rolling: LabRolling, first: Day
) -> None:
    """Encrypted on the disk, under the host's key; in clear for the process alone."""
    wanted = (lab_rolling.controller / "secrets" / "issuing-passphrase").read_text()
    unit = "certbound-enrolment.service"
    stored = "/etc/credstore.encrypted/certbound-enrolment.issuing-passphrase"
    handed = f"/run/credentials/{unit}"
    told = lab_rolling.lab.ssh.run(
        CA,
        f"systemctl is-active {unit}; findmnt -n -o FSTYPE --target {handed};"
        f" sudo stat -c %a {stored}; sudo cat {handed}/issuing-passphrase",
    )
    active, kind, mode, read = told.split()
    assert (active, mode, read) == ("active", "600", wanted.strip())
    assert kind in {"tmpfs", "ramfs"}


def test_nothing_secret_is_said(lab_rolling: LabRolling, first: Day) -> None:
    """At -vvv with --diff there is no private key, token or passphrase to be read."""
    assert lab_rolling.secrets_in(first.run.said) == []
    assert lab_rolling.secrets_in((lab_rolling.base / "ansible.log").read_text()) == []


def test_a_release_has_its_bill_of_materials(
    lab_rolling: LabRolling, first: Day
) -> None:
    """What runs was installed by hash, and what is in it is written beside it."""
    told = lab_rolling.lab.ssh.run(
        "orders-2", "cat /opt/certbound/current/sbom.cdx.json; ls -ld /opt/certbound/*/"
    )
    assert '"bomFormat": "CycloneDX"' in told
    assert "pkg:pypi/cryptography@" in told
    assert "root root" in told


def test_a_controller_killed_in_the_first_roll_out_leaves_one_ca(
    lab_rolling: LabRolling, broken_off: str, first: Day
) -> None:
    """Killed while the CA was being made, the next run founds it, once."""
    assert "Sign all requests" not in broken_off
    wanted = [
        f"{name}@{host}"
        for host, instances in lab_rolling.instances().items()
        for name in instances
    ]
    assert sorted(first.issued) == sorted(wanted)


def test_second_run_changes_nothing(first: Day, second: Day) -> None:
    """Nothing is changed or restarted on any host, and the CA has signed nothing."""
    changed = {
        name: host["changed"] for name, host in second.run.recap["hosts"].items()
    }
    assert changed == dict.fromkeys(HOSTS, 0)
    assert second.serials == first.serials
    assert second.processes == first.processes
    assert second.ca == first.ca
    _, _, after = second.run.stdout.partition("Sign all requests at once]")
    assert after.splitlines()[1].startswith("skipping")


def test_on_a_host_that_may_rest_two_modules_run(second: Day) -> None:
    """Beside them is the probe, a command, and on its host what the CA needs."""
    ran = [line.split() for line in second.run.recap["modules"]]
    for host in set(HOSTS) - {CA}:
        ours = [name for where, name in ran if where == host and name.startswith(OURS)]
        assert sorted(ours) == [f"{OURS}identity_request", f"{OURS}preflight"], host


def test_third_run_in_check_mode_prints_no_difference(
    lab_rolling: LabRolling, second: Day
) -> None:
    """With nothing to do there is nothing to foresee."""
    run = lab_rolling.play(
        "site", *AT_ONCE, "--check", "--diff", "--skip-tags", "drill,verify"
    )
    assert run.returncode == 0, run.said
    assert run.recap["diffs"] == []
    assert run.changed == 0


def test_a_connection_outlives_a_restart(lab_rolling: LabRolling, second: Day) -> None:
    """Who connects while the process is being started anew waits, and is served."""
    ssh = lab_rolling.lab.ssh
    before = lab_rolling.processes("stock-1")
    ssh.run("stock-1", "sudo systemctl stop certbound-stock.service")
    assert lab_rolling.served("stock-1", 8443) == second.serials["stock-1"]["stock"]
    assert lab_rolling.processes("stock-1") != before
