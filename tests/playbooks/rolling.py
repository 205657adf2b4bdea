"""Run the project's playbooks for real, into a directory and onto ports of one's own.

A developer's own roll-out may run meanwhile, and the code may be edited: the test has a
copy of what it runs.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.certbound.kit.plugins.module_utils.processes import Ours
from ansible_collections.certbound.kit.plugins.module_utils.supervisor import (
    SUPERVISORD,
)

PROJECT = Path(__file__).parents[2]
SAMPLE_PORTS = (8440, 8441, 8442, 8443, 8444, 8450, 8451)
INVENTORY = {
    "../topology.yml": "topology.yml",
    "../../certs": "certs",
    "../..": "project",
}
FOURTH = """\
  invoices:
    hosts: [localhost]
    port: {port}
    app: services.samples.stock:create_app
    resource: /stock
    scopes: [invoices.read]

# A gateway takes"""


@dataclass(frozen=True)
class Run:
    """What one run of a playbook has said."""

    returncode: int
    stdout: str
    stderr: str
    recap: dict[str, Any]

    @property
    def changed(self) -> int:
        """How many tasks changed anything, by Ansible's own count."""
        return sum(host["changed"] for host in self.recap["hosts"].values())

    @property
    def said(self) -> str:
        """Everything that was on the screen."""
        return self.stdout + self.stderr


@dataclass
class Rolling:
    """A directory to roll out into, and a topology of its own."""

    base: Path
    ports: list[int] = field(default_factory=lambda: free_ports(8))

    def __post_init__(self) -> None:
        """Write the sample topology, on other ports, and an inventory of it."""
        for name in ("pki", "services"):
            shutil.copytree(PROJECT / name, self.base / "project" / name)
        text = (PROJECT / "playbooks" / "topology.yml").read_text()
        for before, after in zip(SAMPLE_PORTS, self.ports, strict=False):
            text = text.replace(str(before), str(after))
        self.topology.write_text(text)
        inventory = (PROJECT / "playbooks" / "inventory" / "local.yml").read_text()
        for there, here in INVENTORY.items():
            inventory = inventory.replace(f": {there}\n", f": {here}\n")
        (self.base / "inventory.yml").write_text(inventory)
        for name in ("tmp", "facts"):
            (self.base / name).mkdir()

    @property
    def root(self) -> Path:
        """Where everything is made."""
        return self.base / "certs"

    @property
    def topology(self) -> Path:
        """The topology file."""
        return self.base / "topology.yml"

    @property
    def ours(self) -> Ours:
        """The processes that run from here."""
        return Ours(str(self.root), [["-m", "services", "run"], SUPERVISORD])

    def add_fourth(self) -> None:
        """Add a service that nobody calls yet."""
        text = self.topology.read_text()
        fourth = FOURTH.format(port=self.ports[-1])
        self.topology.write_text(text.replace("\n# A gateway takes", "\n" + fourth, 1))

    def play(self, playbook: str, *arguments: str) -> Run:
        """Run a playbook of the project, as `make` does."""
        recap = self.base / "recap.json"
        recap.unlink(missing_ok=True)
        done = subprocess.run(
            self._command(playbook, *arguments),
            cwd=PROJECT,
            env=self.environment(recap),
            capture_output=True,
            text=True,
            check=False,
        )
        written = json.loads(recap.read_text()) if recap.exists() else {"hosts": {}}
        return Run(done.returncode, done.stdout, done.stderr, written)

    def kill_at(self, playbook: str, moments: Sequence[str], *arguments: str) -> None:
        """Begin a playbook, and kill it when the last of `moments` is said."""
        wanted = list(moments)
        with subprocess.Popen(
            self._command(playbook, *arguments),
            cwd=PROJECT,
            env=self.environment(self.base / "recap.json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if wanted[0] in line:
                    wanted.pop(0)
                if not wanted:
                    break
            os.killpg(process.pid, signal.SIGKILL)
        assert not wanted, f"it ended before {wanted}"

    def _command(self, playbook: str, *arguments: str) -> list[str]:
        ansible = str(Path(sys.executable).with_name("ansible-playbook"))
        inventory = ("-i", str(self.base / "inventory.yml"))
        return [ansible, *inventory, f"playbooks/{playbook}.yml", *arguments]

    def environment(self, recap: Path) -> dict[str, str]:
        """Return what Ansible is started with; the recap will be at `recap`."""
        # A developer's own CERTBOUND_ROOT would win over the inventory here.
        kept = {k: v for k, v in os.environ.items() if not k.startswith("CERTBOUND_")}
        return kept | {
            "CERTBOUND_RECAP": str(recap),
            "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "tests/playbooks/callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "certbound.kit.summary,recap",
            # What Ansible leaves behind is searched for keys, so it goes in here.
            "ANSIBLE_LOCAL_TEMP": str(self.base / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(self.base / "tmp"),
            "ANSIBLE_LOG_PATH": str(self.base / "tmp" / "ansible.log"),
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.jsonfile",
            "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(self.base / "facts"),
        }

    def processes(self) -> dict[str, int]:
        """Return the pid of each process that runs from here, by its service."""
        configured = re.compile(
            re.escape(str(self.root)) + r"/services/(.+)/config.json"
        )
        found = {}
        for process in self.ours.find():
            named = configured.fullmatch(process.arguments[-1])
            found[named.group(1) if named else process.name] = process.pid
        return found

    def serials(self) -> dict[str, str]:
        """Return the serial of each service's current certificate."""
        return {
            path.parent.parent.name: path.resolve().name
            for path in self.root.glob("services/*/identity/current")
        }


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, all at once so that they differ."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
