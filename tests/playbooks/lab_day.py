"""What is looked at after each run on the lab, and how runs are asked for there."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.playbooks.lab_rolling import LabRolling
from tests.playbooks.rolling import Run

CA = "ca"
# Everything is due: certificates live for 86400 s.
EVERYTHING = ("-e", "certbound_renew_before=86398")
_HOSTS = 4  # asked at once
AT_ONCE = ("-e", '{"certbound_waves": ["100%"]}')


def on_all(
    rolling: LabRolling, ask: Callable[[str], dict[str, str]]
) -> dict[str, dict[str, str]]:
    """Ask all hosts that run something, a few at once; return what each has said."""
    hosts = [*rolling.instances()]
    with ThreadPoolExecutor(_HOSTS) as pool:
        return dict(zip(hosts, pool.map(ask, hosts), strict=True))


class Day:
    """What was seen after a run."""

    def __init__(self, rolling: LabRolling, run: Run) -> None:
        """Look at every host, right after `run`."""
        self.run = run
        self.serials = on_all(rolling, rolling.generations)
        self.processes = on_all(rolling, rolling.processes)
        self.ca = rolling.ca_files()
        self.issued = rolling.issued()


def served(rolling: LabRolling) -> dict[str, dict[str, str]]:
    """Return the serial that each live port serves, by host and service."""
    instances = rolling.instances()
    return on_all(
        rolling,
        lambda host: {
            name: rolling.served(host, port) for name, port in instances[host].items()
        },
    )


def check_served(rolling: LabRolling) -> dict[str, dict[str, str]]:
    """Check that every port serves what lies on its host; return the serials."""
    found = served(rolling)
    assert found == on_all(rolling, rolling.generations)
    return found


def installed(rolling: LabRolling, host: str, name: str = "") -> str:
    """Return what a host has of the roll-out, or of one service of it."""
    everything = f"/var/lib/certbound/services/{name}" if name else "/var/lib/certbound"
    releases = "" if name else "/opt/certbound"
    return rolling.lab.ssh.attempt(
        host,
        f"sudo ls -d {everything} {releases} /etc/systemd/system/certbound-{name}*;"
        f" getent passwd | grep certbound-{name};"
        f" systemctl list-units --no-legend -q 'certbound-{name}*'",
    ).stdout
