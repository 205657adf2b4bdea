"""The lab: several Debian hosts on one machine, booted, broken, repaired, removed.

    lab = Lab(Places.chosen())
    lab.up(fleet.DEFAULT, print)
    lab.ssh.run("orders-1", "systemctl is-system-running")
    lab.cut("orders-1")
    lab.down()

A host is systemd and sshd from a Debian base, in control group, mounts and network of
its own. It is no virtual machine: the kernel is this machine's, and so are its clock
and its limits. What the lab proves about units, SSH and files holds on real hosts; what
it says of kernel features may not.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.lab import base, command, group, inotify, requirements
from tests.lab.base import Say
from tests.lab.errors import LabError
from tests.lab.fleet import Fleet, Host, read_fleet
from tests.lab.machine import Machine
from tests.lab.network import Network
from tests.lab.patience import until
from tests.lab.places import Places
from tests.lab.ssh import Ssh

_HEALTHY = "running"
_CABLE_LIMIT = 10.0  # seconds


@dataclass(frozen=True)
class Status:
    """How one host is."""

    host: Host
    powered: bool
    plugged: bool


class Lab:
    """One lab, which need not be up."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.network = Network(places)
        self.ssh = Ssh(places, self.network)

    @cached_property
    def fleet(self) -> Fleet:
        """Return what was booted.

        Raises:
            LabError: nothing was.
        """
        if not self.places.fleet.exists():
            raise LabError("no lab is up: `python -m tests.lab up` boots it")
        return read_fleet(self.places.fleet)

    def machine(self, host: str) -> Machine:
        """Return one of the machines."""
        return self._machine(self.fleet, self.fleet.host(host))

    @property
    def machines(self) -> list[Machine]:
        """Return all of them."""
        return [self.machine(host) for host in self.fleet.hosts]

    def up(self, spec: Path, say: Say) -> None:
        """Boot the hosts that a file lists, and return when all can be logged in to.

        Of a lab that is up already, what is off is switched on, and what is off the
        network is put back.

        Raises:
            UnavailableError: this machine cannot.
            LabError: another lab is up, or a host of a new one did not come up; then
                nothing is left of it.
        """
        requirements.check()
        wanted = read_fleet(spec)
        new = not self.places.fleet.exists()
        if not new and wanted != self.fleet:
            raise LabError("another lab is up: `python -m tests.lab down` removes it")
        for release in sorted({host.release for host in wanted.hosts.values()}):
            base.ensure(self.places, release, say)
        started = time.monotonic()
        try:
            if new:
                self.down()  # a predecessor may have died before it was complete
                self._create(spec, wanted)
            self._boot(say)
        except BaseException:
            if new:
                self.down()
            raise
        took = time.monotonic() - started
        say(f"{len(wanted.hosts)} hosts up in {took:.1f} s")

    def down(self) -> None:
        """Remove every trace of the lab, however much of it there is.

        Raises:
            LabError: something does not end; nothing below it was removed.
        """
        of_lab = group.of_lab(self.places.name)
        group.end(of_lab)
        if self.places.fleet.exists():
            for machine in self.machines:
                machine.end()
        self.network.remove()
        inotify.put_back(self.places)
        shutil.rmtree(self.places.state, ignore_errors=True)
        self.__dict__.pop("fleet", None)

    def status(self) -> list[Status]:
        """Return how each host is."""
        return [
            Status(
                host=machine.host,
                powered=group.alive(machine.group),
                plugged=self.network.plugged(machine.host.name),
            )
            for machine in self.machines
        ]

    def start(self, host: str) -> None:
        """Switch a host on, and return when it can be logged in to."""
        machine = self.machine(host)
        machine.start()
        self._ready(machine)

    def cut(self, host: str) -> None:
        """Cut a host's power."""
        self.machine(host).cut()

    def reboot(self, host: str) -> None:
        """Tell a host to reboot, and return when it can be logged in to again."""
        machine = self.machine(host)
        before = self.ssh.boot_id(host)
        self.ssh.attempt(host, "sudo systemctl reboot")
        self._ready(machine, other_than=before)

    def run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command as the controller, and return how it went."""
        return subprocess.run(
            self.network.inside(*argv),
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
        )

    def environment(self) -> Mapping[str, str]:
        """Return a controller's environment: Ansible reaches every host by name."""
        return {
            **command.ENVIRONMENT,
            "ANSIBLE_SSH_COMMON_ARGS": f"-F {self.places.ssh_config}",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.places.control),
            "CERTBOUND_LAB_SSH_CONFIG": str(self.places.ssh_config),
            # What the roll-out's summary puts before the command to run again.
            "CERTBOUND_VIA": ".venv/bin/python -m tests.lab run",
        }

    def _machine(self, wanted: Fleet, host: Host) -> Machine:
        root = base.directory(self.places, host.release)
        return Machine(self.places, wanted, host, root)

    def _create(self, spec: Path, wanted: Fleet) -> None:
        self.places.state.mkdir(parents=True, mode=0o700)
        self.ssh.make_key()
        machines = [self._machine(wanted, host) for host in wanted.hosts.values()]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(Machine.create, machines))
        keys = {machine.host.name: machine.public_key for machine in machines}
        self.ssh.configure(wanted, keys)
        shutil.copyfile(spec, self.places.fleet)

    def _boot(self, say: Say) -> None:
        machines = self.machines
        inotify.raise_limit(self.places, len(machines))
        if not self.network.exists():
            self.network.create(self.fleet)
        for machine in machines:
            if group.alive(machine.group):
                self.network.plug(machine.host.name)
            else:
                machine.start()
        with ThreadPoolExecutor(len(machines)) as pool:
            states = list(pool.map(self._ready, machines))
        for machine, state in zip(machines, states, strict=True):
            if state != _HEALTHY:
                say(f"{machine.host.name}: systemd says {state}")

    def _ready(self, machine: Machine, *, other_than: str = "") -> str:
        host = machine.host.name
        try:
            # Whoever calls before there is a cable waits a second to call again.
            until(
                lambda: self.network.plugged(host) or machine.ended(),
                _CABLE_LIMIT,
                f"{host} is off the network",
            )
            return self.ssh.wait(host, other_than=other_than, ended=machine.ended)
        except LabError as error:
            raise LabError(f"{error}\n{machine.console()}") from None
