"""The lab: what the roll-out's tests take for granted about its hosts.

Two hosts are booted, one of each Debian, and lent to all tests here; a test that breaks
one repairs it. They need root and systemd-nspawn, and say so where they skip.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import base, faults, inotify
from tests.lab.errors import LabError
from tests.lab.fixtures import booted, lab_named, skip_without_lab
from tests.lab.lab import Lab
from tests.lab.patience import until
from tests.lab.places import CONTROLLER_ETC, CONTROLLER_NETNS

pytestmark = pytest.mark.lab

OLD, NEW = "bookworm-1", "trixie-1"
PAIR = f"""
domain: shop.internal
network: 10.77.0.0/29
hosts:
  {OLD}: {{release: bookworm, address: 10.77.0.2, disk: 128M}}
  {NEW}: {{release: trixie, address: 10.77.0.3, disk: 128M, aliases: [shop.internal]}}
"""
ALONE = """
domain: shop.internal
network: 10.77.0.0/29
hosts:
  alone: {release: trixie, address: 10.77.0.2}
"""
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return a lab of one Debian 12 and one Debian 13."""
    spec = tmp_path_factory.mktemp("lab") / "pair.yml"
    spec.write_text(PAIR)
    with booted("pair", spec) as lab:
        yield lab


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    """Return the spec of one host."""
    spec = tmp_path / "alone.yml"
    spec.write_text(ALONE)
    return spec


@pytest.mark.parametrize("host", [OLD, NEW])
def test_a_host_has_booted_without_a_failed_unit(pair: Lab, host: str) -> None:
    """Systemd reached its target, and every unit on the way to it."""
    assert pair.ssh.run(host, "systemctl is-system-running") == "running"
    assert pair.ssh.run(host, "systemctl --failed --no-legend") == ""


def test_hosts_are_two_debians(pair: Lab) -> None:
    """One has the OpenSSL and Python of Debian 12, the other those of Debian 13."""
    asked = "openssl version && python3 --version"
    old, new = pair.ssh.run(OLD, asked), pair.ssh.run(NEW, asked)
    assert "OpenSSL 3.0." in old
    assert "Python 3.11." in old
    assert "OpenSSL 3.5." in new
    assert "Python 3.13." in new


def test_hosts_differ_in_what_makes_a_host(pair: Lab) -> None:
    """Name, machine-id and SSH host key are each host's own."""
    asked = "hostname; cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub"
    old, new = (pair.ssh.run(host, asked).splitlines() for host in (OLD, NEW))
    assert old[0] == OLD
    assert new[0] == NEW
    assert not set(old) & set(new)


def test_one_logs_in_as_a_user_who_may_become_root(pair: Lab) -> None:
    """Nobody logs in as root, and sudo asks for no password."""
    assert pair.ssh.run(OLD, "id -un; sudo -n id -un") == "deploy\nroot"
    assert pair.run(["ssh", "-F", _config(pair), f"root@{OLD}", "true"]).returncode


def test_hosts_and_controller_know_the_same_names(pair: Lab) -> None:
    """A host is found by its name, its full name and its aliases, from everywhere."""
    for name in (NEW, f"{NEW}.shop.internal", "shop.internal"):
        assert pair.ssh.run(OLD, f"getent hosts {name}").startswith("10.77.0.3 ")
        assert pair.run(["getent", "hosts", name]).stdout.startswith("10.77.0.3 ")


def test_the_lab_has_no_way_out(pair: Lab) -> None:
    """Neither hosts nor the controller have a route to anything but each other."""
    assert pair.ssh.run(OLD, "ip route show default") == ""
    assert pair.run(["ip", "route", "show", "default"]).stdout == ""


def test_the_key_opens_only_for_its_owner(pair: Lab) -> None:
    """The private key of the lab has mode 0600."""
    assert pair.places.key.stat().st_mode & 0o777 == 0o600


def test_a_host_keeps_its_disk_over_a_reboot(pair: Lab) -> None:
    """What was written is there after an orderly reboot, which was one."""
    before = pair.ssh.boot_id(NEW)
    pair.ssh.run(NEW, "echo kept > kept")
    pair.reboot(NEW)
    assert pair.ssh.run(NEW, "cat kept") == "kept"
    assert pair.ssh.boot_id(NEW) != before


def test_a_power_cut_loses_what_was_not_synced(pair: Lab) -> None:
    """After a cut the host boots again, with what was synced and without the rest."""
    pair.ssh.run(OLD, "echo kept > kept && sync && echo lost > lost")
    pair.cut(OLD)
    assert [one.powered for one in pair.status()] == [False, True]
    pair.start(OLD)
    assert pair.ssh.run(OLD, "ls; systemctl is-system-running") == "kept\nrunning"


def test_a_host_off_the_network_is_not_reached(pair: Lab) -> None:
    """A partitioned host goes on running, unreachable; healed, it answers again."""
    boot = pair.ssh.boot_id(NEW)
    pair.network.unplug(NEW)
    soon = ["ssh", "-F", _config(pair), "-o", "ConnectTimeout=1"]
    assert pair.run([*soon, NEW, "true"]).returncode == 255
    assert pair.run([*soon, OLD, "true"]).returncode == 0
    assert [one.plugged for one in pair.status()] == [True, False]
    pair.network.plug(NEW)
    assert pair.ssh.boot_id(NEW) == boot


def test_a_full_disk_takes_no_byte_more(pair: Lab) -> None:
    """On a full disk root cannot write either; the other host's disk is its own."""
    write = "sudo cp /etc/os-release /var/lib/more"
    faults.fill_disk(pair.ssh, NEW)
    try:
        refused = pair.ssh.attempt(NEW, write)
        pair.ssh.run(OLD, write)
    finally:
        faults.empty_disk(pair.ssh, NEW)
    assert refused.returncode
    assert "No space left on device" in refused.stderr
    pair.ssh.run(NEW, write)


@pytest.mark.parametrize("host", [OLD, NEW])
def test_a_wrong_clock_is_one_hosts_alone(pair: Lab, host: str) -> None:
    """SSH sessions, root's commands and a unit are an hour ahead; nobody else is."""
    drift = time.time() - time.monotonic()
    asked = "date +%s; sudo date +%s; sudo python3 -c 'import time; print(time.time())'"
    unit = "systemctl show --property=MainPID --value lab-clock"
    pair.ssh.run(host, "sudo systemd-run --quiet --unit=lab-clock sleep infinity")
    faults.skew_clock(pair.ssh, host, "+1h", ["lab-clock.service"])
    ahead = [
        float(told) - time.time() for told in pair.ssh.run(host, asked).splitlines()
    ]
    assert all(3590 < seconds < 3610 for seconds in ahead), ahead
    started_as = pair.ssh.run(host, f"sudo cat /proc/$({unit})/environ")
    assert "FAKETIME=+1h" in started_as
    other = OLD if host == NEW else NEW
    assert abs(float(pair.ssh.run(other, "date +%s")) - time.time()) < 10

    faults.skew_clock(pair.ssh, host, "0")
    assert abs(float(pair.ssh.run(host, "sudo date +%s")) - time.time()) < 10
    assert "FAKETIME" not in pair.ssh.run(host, f"sudo cat /proc/$({unit})/environ")
    pair.ssh.run(host, "sudo systemctl stop lab-clock")
    assert abs(time.time() - time.monotonic() - drift) < 1


@pytest.mark.parametrize(
    ("client", "group"), [(NEW, "X25519MLKEM768"), (OLD, "X25519, 253 bits")]
)
def test_tls_is_hybrid_where_both_ends_can(pair: Lab, client: str, group: str) -> None:
    """Debian 13 agrees with itself on ML-KEM unasked, and with Debian 12 on X25519."""
    pair.ssh.run(
        NEW,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        " -subj /CN=lab -keyout tls.key -out tls.pem 2>/dev/null &&"
        " sudo systemd-run --quiet --unit=lab-tls --working-directory=$HOME"
        " openssl s_server -accept 8440 -key tls.key -cert tls.pem -quiet",
    )
    told = ""

    def connected() -> bool:
        nonlocal told
        told = pair.ssh.attempt(
            client, f"openssl s_client -connect {NEW}:8440 </dev/null"
        ).stdout
        return "TLSv1.3" in told

    until(connected, 10, "no TLS")
    pair.ssh.run(NEW, "sudo systemctl stop lab-tls")
    assert group in told


def test_down_leaves_nothing(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lab that was used and broken is gone without a trace."""
    skip_without_lab()
    monkeypatch.setattr(inotify, "_FOR_OTHERS", 4096)
    lab = lab_named("alone")
    lab.down()
    before = _traces(lab)
    lab.up(alone, print)
    assert _traces(lab) != before
    master = ["-o", "ControlMaster=yes", "-o", f"ControlPath={lab.places.control}/one"]
    command = ["ssh", "-F", _config(lab), "-f", "-N", *master, "alone"]
    assert lab.run(["sh", "-c", f"{' '.join(command)} >/dev/null 2>&1"]).returncode == 0
    lab.network.unplug("alone")
    lab.down()
    assert _traces(lab) == before
    lab.down()
    assert _traces(lab) == before


def test_up_switches_on_what_is_off(alone: Path) -> None:
    """To boot a lab that is up changes nothing but what is off in it."""
    with booted("alone", alone) as lab:
        lab.ssh.run("alone", "echo kept > kept && sync")
        boot = lab.ssh.boot_id("alone")
        lab.up(alone, print)
        assert lab.ssh.boot_id("alone") == boot
        lab.network.unplug("alone")
        lab.up(alone, print)
        assert lab.ssh.boot_id("alone") == boot
        lab.cut("alone")
        lab.up(alone, print)
        assert lab.ssh.run("alone", "cat kept") == "kept"


def test_up_refuses_another_fleet(pair: Lab, alone: Path) -> None:
    """A lab that is up is not replaced unasked."""
    with pytest.raises(LabError, match="another lab is up"):
        pair.up(alone, print)
    assert all(one.powered for one in pair.status())


def test_a_lab_that_does_not_come_up_leaves_nothing(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a host does not boot, its console is shown and the whole lab is removed."""
    skip_without_lab()
    empty = tmp_path / "base"
    empty.mkdir()
    monkeypatch.setattr(base, "directory", lambda places, release: empty)
    lab = lab_named("alone")
    before = _traces(lab)
    with pytest.raises(LabError, match=r"alone: its machine has ended\n.*os-release"):
        lab.up(alone, print)
    assert _traces(lab) == before


def _config(lab: Lab) -> str:
    return str(lab.places.ssh_config)


def _traces(lab: Lab) -> dict[str, object]:
    """Return all that a lab could leave behind on this machine."""
    name = lab.places.name
    groups = Path("/sys/fs/cgroup").glob(f"**/{name}")
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return {
        "processes": sorted(_processes_of(name)),
        "mounts": [line for line in mounts if name in line],
        "groups": sorted(str(group) for group in groups),
        "namespaces": sorted(CONTROLLER_NETNS.glob(name)),
        "names": sorted(CONTROLLER_ETC.glob(name)),
        "state": lab.places.state.exists(),
        "inotify": INOTIFY.read_text(),
        "links": sorted(os.listdir("/sys/class/net")),  # noqa: PTH208
    }


def _processes_of(name: str) -> Iterator[str]:
    """Yield the command lines in which a lab's name, or a path of it, stands."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            said = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            group = (process / "cgroup").read_text()
        except (OSError, UnicodeDecodeError):
            continue
        # What has no command line is dead, and waits for the machine's init to notice.
        if said and (name in said or name in group):
            yield said
