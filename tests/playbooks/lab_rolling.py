"""Roll out to a lab of the test's own, with a copy of the code that may be edited."""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.lab.lab import Lab
from tests.playbooks.rolling import PROJECT, Run

TRAVELLING = ("pyproject.toml", "README.md", "LICENSE", "requirements-hosts.lock")
_ELSEWHERE = {
    "topology: topology.yml": "topology: topology.yml",
    "controller_root: ../../certs/lab": "controller_root: controller",
    "project: ../..": "project: project",
}


@dataclass
class LabRolling:
    """A lab, a topology and an inventory of one's own."""

    lab: Lab
    base: Path

    def __post_init__(self) -> None:
        """Copy what travels to hosts, and the inventory with its paths changed."""
        project = self.base / "project"
        for name in ("pki", "services"):
            without = shutil.ignore_patterns("__pycache__")
            shutil.copytree(PROJECT / name, project / name, ignore=without)
        for name in TRAVELLING:
            shutil.copyfile(PROJECT / name, project / name)
        (PROJECT / "build").mkdir(exist_ok=True)
        (project / "build").symlink_to(PROJECT / "build")  # wheels are got once
        text = (PROJECT / "tests" / "lab" / "inventory.yml").read_text()
        for there, here in _ELSEWHERE.items():
            assert there in text
            text = text.replace(there, here)
        self.inventory.write_text(text)
        shutil.copyfile(PROJECT / "tests" / "lab" / "topology.yml", self.topology)

    @property
    def inventory(self) -> Path:
        """The inventory."""
        return self.base / "inventory.yml"

    @property
    def topology(self) -> Path:
        """The topology file."""
        return self.base / "topology.yml"

    @property
    def controller(self) -> Path:
        """What stays on the controller."""
        return self.base / "controller"

    def prepare(self) -> None:
        """Make the releases, while there is a way to a package index."""
        command = self._command("release")
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=dict(self._environment()),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def play(
        self, playbook: str, *arguments: str, environment: Mapping[str, str] = {}
    ) -> Run:
        """Run a playbook as the lab's controller."""
        process = self.begin(playbook, *arguments, environment=environment)
        stdout, stderr = process.communicate()
        recap = self.base / "recap.json"
        written = json.loads(recap.read_text()) if recap.exists() else {"hosts": {}}
        return Run(process.returncode, stdout, stderr, written)

    def begin(
        self, playbook: str, *arguments: str, environment: Mapping[str, str] = {}
    ) -> subprocess.Popen[str]:
        """Start a playbook."""
        (self.base / "recap.json").unlink(missing_ok=True)
        return subprocess.Popen(
            self.lab.network.inside(*self._command(playbook, *arguments)),
            cwd=PROJECT,
            env={**self._environment(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _command(self, playbook: str, *arguments: str) -> list[str]:
        ansible = Path(sys.executable).with_name("ansible-playbook")
        inventory = ("-i", str(self.inventory))
        return [str(ansible), *inventory, f"playbooks/{playbook}.yml", *arguments]

    def _environment(self) -> Mapping[str, str]:
        return {
            **self.lab.environment(),
            "CERTBOUND_RECAP": str(self.base / "recap.json"),
            "ANSIBLE_CALLBACK_PLUGINS": str(PROJECT / "tests/playbooks/callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "certbound.kit.summary,recap",
            "ANSIBLE_LOCAL_TEMP": str(self.base / "tmp"),
            "ANSIBLE_LOG_PATH": str(self.base / "ansible.log"),
        }

    def generations(self, host: str) -> dict[str, str]:
        """Return the serial that each identity's link on a host leads to."""
        told = self.lab.ssh.run(
            host,
            "sudo sh -c 'for i in /var/lib/certbound/services/*/identity/current; do "
            "readlink $i; echo $i; done'",
        ).splitlines()
        return {
            path.split("/")[5]: link.rpartition("/")[2]
            for link, path in zip(told[::2], told[1::2], strict=True)
        }

    def served(self, host: str, port: int) -> str:
        """Return the serial that is served at a live port, as any stranger sees it."""
        shown = (
            f"openssl s_client -connect {host}:{port} </dev/null 2>/dev/null"
            " | openssl x509 -noout -serial"
        )
        told = self.lab.run(["sh", "-c", shown]).stdout
        serial = told.strip().removeprefix("serial=")
        return f"{int(serial, 16):x}" if serial else ""

    def processes(self, host: str) -> dict[str, str]:
        """Return the process id of each service on a host."""
        told = self.lab.ssh.run(
            host,
            "for u in $(systemctl list-units --plain --no-legend 'certbound-*.service'"
            " | cut -d' ' -f1); do echo $u $(systemctl show -P MainPID $u); done",
        )
        return dict(line.split() for line in told.splitlines())
