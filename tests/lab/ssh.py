"""SSH to the hosts: the lab's key, what ssh is told, and whether a host is ready.

People, tests and Ansible use the same `ssh_config`, in which each host is known by name
and by its key; nobody is asked to trust a key at first sight.
"""

import subprocess
import time
from collections.abc import Callable, Mapping

from tests.lab import command
from tests.lab.errors import LabError
from tests.lab.fleet import Fleet
from tests.lab.network import Network
from tests.lab.places import Places

USER = "deploy"
_UNREACHED = 255  # ssh's own exit code; all others are the remote command's
_BOOT_LIMIT = 90.0  # seconds
_PAUSE = 0.1  # seconds between two attempts
_BOOT_ID = "cat /proc/sys/kernel/random/boot_id"  # nspawn gives each boot its own


class Ssh:
    """Ways into the hosts of one lab."""

    def __init__(self, places: Places, network: Network) -> None:
        self._places = places
        self._network = network

    def make_key(self) -> None:
        """Make the key that opens this lab's hosts."""
        key = str(self._places.key)
        command.run(
            "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", key
        )

    def configure(self, fleet: Fleet, public_keys: Mapping[str, str]) -> None:
        """Write down every host's names, address and key."""
        known = [f"{host} {key}" for host, key in public_keys.items()]
        self._places.known_hosts.write_text("\n".join([*known, ""]))
        sections = [
            f"Host {' '.join(fleet.names_of(name))} {host.address}\n"
            f"  HostName {host.address}\n"
            f"  HostKeyAlias {name}\n"
            for name, host in fleet.hosts.items()
        ]
        common = (
            "Host *\n"
            f"  User {USER}\n"
            f"  IdentityFile {self._places.key}\n"
            "  IdentitiesOnly yes\n"
            "  BatchMode yes\n"
            "  ConnectTimeout 5\n"
            f"  UserKnownHostsFile {self._places.known_hosts}\n"
            "  GlobalKnownHostsFile /dev/null\n"
            "  StrictHostKeyChecking yes\n"
            "  LogLevel ERROR\n"
        )
        self._places.ssh_config.write_text("".join([*sections, common]))
        self._places.control.mkdir(mode=0o700)

    def to(self, host: str, *argv: str) -> list[str]:
        """Return the command that runs `argv` on a host, or a shell there."""
        config = str(self._places.ssh_config)
        return self._network.inside("ssh", "-F", config, host, *argv)

    def attempt(
        self, host: str, line: str, *, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell's line on a host and return how it went."""
        return command.attempt(self.to(host, line), stdin=stdin)

    def run(self, host: str, line: str, *, stdin: str = "") -> str:
        """Run a shell's line on a host and return what it printed.

        Raises:
            LabError: it failed there, or the host was not reached.
        """
        done = self.attempt(host, line, stdin=stdin)
        if done.returncode:
            said = (done.stderr or done.stdout).strip()
            raise LabError(f"{host}: {line}: exit {done.returncode}: {said}")
        return done.stdout.rstrip("\n")

    def boot_id(self, host: str) -> str:
        """Return what differs from one boot of a host to the next."""
        return self.run(host, _BOOT_ID)

    def hang_up(self) -> None:
        """End the connections that Ansible keeps open for its next task."""
        for socket in self._places.control.iterdir():
            path = f"ControlPath={socket}"
            command.attempt(["ssh", "-F", "none", "-o", path, "-O", "exit", "all"])

    def wait(
        self, host: str, *, other_than: str = "", ended: Callable[[], bool]
    ) -> str:
        """Wait until a host has booted, and return the state that systemd reached.

        `other_than` is the boot that is ending, when the host was told to reboot;
        `ended` says that there is nothing to wait for.

        Raises:
            LabError: it cannot be logged in to.
        """
        deadline = time.monotonic() + _BOOT_LIMIT
        while True:
            done = self.attempt(
                host, f"{_BOOT_ID} && systemctl is-system-running --wait"
            )
            boot, _, state = done.stdout.strip().partition("\n")
            if done.returncode != _UNREACHED and state and boot != other_than:
                return state
            if ended():
                raise LabError(f"{host}: its machine has ended")
            if time.monotonic() > deadline:
                raise LabError(f"{host}: no login after {_BOOT_LIMIT:.0f} s")
            time.sleep(_PAUSE)
