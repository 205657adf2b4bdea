"""The network: one bridge in a namespace of its own, with no route to anywhere.

Hosts hang on the bridge by cables that `machine.sh` plugs in. The controller is whoever
runs inside the namespace (`ip netns exec`); the machine's own network has no interface,
address, route or name of the lab in it.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from tests.lab import command
from tests.lab.errors import LabError
from tests.lab.fleet import Fleet
from tests.lab.patience import until
from tests.lab.places import CONTROLLER_ETC, CONTROLLER_NETNS, Places

_PATIENCE = 5.0  # seconds


class Network:
    """The network of one lab."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._name = places.name

    def exists(self) -> bool:
        """Return whether the namespace is there."""
        return (CONTROLLER_NETNS / self._name).exists()

    def create(self, fleet: Fleet) -> None:
        """Make the namespace, its bridge, and the names that are known inside it."""
        etc = self._places.etc
        etc.mkdir(parents=True, exist_ok=True)
        (etc / "hosts").write_text(fleet.hosts_file())
        (etc / "resolv.conf").write_text("# the lab has no DNS\n")
        command.run("ip", "netns", "add", self._name)
        self._links(
            "link set lo up",
            "link add lab type bridge forward_delay 0",
            f"address add {fleet.controller} dev lab",
            "link set lab up",
        )

    def inside(self, *argv: str) -> list[str]:
        """Return the command that runs `argv` as the controller."""
        return ["ip", "netns", "exec", self._name, *argv]

    def unplug(self, host: str) -> None:
        """Take a host off the network; it notices as little as with a broken switch."""
        self._links(f"link set v-{host} down")

    def plug(self, host: str) -> None:
        """Put a host back on the network."""
        self._links(f"link set v-{host} up")

    def plugged(self, host: str) -> bool:
        """Return whether a host's cable is in."""
        shown = command.attempt(
            ["ip", "-n", self._name, "-oneline", "link", "show", f"v-{host}"]
        )
        return ",UP" in shown.stdout

    def remove(self) -> None:
        """End what still runs inside, and remove the namespace and its names."""
        if self.exists():
            self._end_processes()
            command.run("ip", "netns", "delete", self._name)
        for name in ("hosts", "resolv.conf"):
            (self._places.etc / name).unlink(missing_ok=True)
        _remove_if_empty(self._places.etc)
        _remove_if_empty(CONTROLLER_ETC)
        # `ip netns add` mounts this directory on itself, and nobody undoes that.
        if CONTROLLER_NETNS.is_dir() and not any(CONTROLLER_NETNS.iterdir()):
            command.attempt(["umount", str(CONTROLLER_NETNS)])
            _remove_if_empty(CONTROLLER_NETNS)

    def _links(self, *lines: str) -> None:
        command.run("ip", "-n", self._name, "-batch", "-", stdin="\n".join(lines))

    def _processes(self) -> Sequence[int]:
        listed = command.run("ip", "netns", "pids", self._name).split()
        return [int(pid) for pid in listed if int(pid) != os.getpid()]

    def _end_processes(self) -> None:
        """End SSH masters and whatever else was started with `run`, politely first."""
        for sent in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._processes():
                os.kill(pid, sent)
            try:
                until(lambda: not self._processes(), _PATIENCE, "still running")
            except LabError:
                continue
            return


def _remove_if_empty(directory: Path) -> None:
    if directory.is_dir() and not any(directory.iterdir()):
        directory.rmdir()
