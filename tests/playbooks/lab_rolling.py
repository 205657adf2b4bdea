"""Roll out to a lab of the test's own, with a copy of the code that may be edited."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.lab.lab import Lab
from tests.playbooks.live_testing import Verdict, command, verdict
from tests.playbooks.rolling import PROJECT, Run

TRAVELLING = (
    "pyproject.toml",
    "README.md",
    "LICENSE",
    "requirements-hosts.lock",
    "requirements-hosts-pkcs11.lock",
)
# Passphrases are looked for by their text; these are known by their looks.
_SECRETS = re.compile(r"PRIVATE KEY|eyJ[\w-]{20,}\.")
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
        self.restore()

    def restore(self) -> None:
        """Have the topology be the lab's own again."""
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
            "ANSIBLE_TIMEOUT": "3",  # seconds; these hosts are near
        }

    def kill_at(
        self, task: str, *arguments: str, after: str = "", playbook: str = "site"
    ) -> str:
        """Begin a playbook and kill Ansible when `task` begins; return what it said.

        With `after`, it is killed when that is said next, such as one host's result.
        """
        said = []
        wanted = [f"{task}]", *([after] if after else [])]
        with self.begin(playbook, *arguments) as process:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line)
                if wanted[0] in line:
                    wanted.pop(0)
                if not wanted:
                    break
            os.killpg(process.pid, signal.SIGKILL)
        assert not wanted, "".join(said)
        return "".join(said)

    def live(self, name: str) -> Verdict:
        """Return what `pytest --inventory` says of the deployment now."""
        junit = self.base / f"{name}.xml"
        argv = self.lab.network.inside(*command(self.inventory, junit))
        return verdict(argv, junit, self._environment())

    def secrets_in(self, text: str) -> list[str]:
        """Return what is in `text` and should be on no screen and in no log."""
        files = (self.controller / "secrets").iterdir()
        known = {path.read_text().strip(): path.name for path in files}
        return [
            *{found[0] for found in _SECRETS.finditer(text)},
            *(name for secret, name in known.items() if secret in text),
        ]

    def instances(self) -> dict[str, dict[str, int]]:
        """Return each host's instances with their ports, as the topology has it."""
        topology = yaml.safe_load(self.topology.read_text())
        parts = {"token-service": topology["token_service"], **topology["services"]}
        parts |= topology.get("gateways", {})
        ca = topology["ca"]
        parts["enrolment"] = {"hosts": [ca["host"]], "port": ca["port"]}
        found: dict[str, dict[str, int]] = {}
        for name, part in parts.items():
            for host in part["hosts"]:
                found.setdefault(host, {})[name] = part["port"]
        return found

    def ca_files(self) -> str:
        """Return what the CA has: its ledger, keys and policy, with their digests.

        Without what SQLite notes beside a ledger for those who read it.
        """
        return self.lab.ssh.run(
            "ca",
            "sudo find /var/lib/certbound/ca -type f ! -name '*.sqlite-*'"
            " -exec sha256sum {} + | sort",
        )

    def issued(self) -> list[str]:
        """Return whom the CA has ever given a certificate, oldest first."""
        told = self.lab.ssh.run(
            "ca",
            "sudo setpriv --reuid=certbound-ca --regid=certbound-ca --clear-groups"
            " /opt/certbound/current/bin/python -I -m pki ledger list"
            " --directory /var/lib/certbound/ca",
        )
        return [
            entry["identity"]
            for entry in json.loads(told)["entries"]
            if entry["event"] == "issued" and "@" in entry["identity"]
        ]

    def clients(self, host: str) -> set[str]:
        """Return the clients that the token service on a host has been given."""
        told = self.lab.ssh.run(
            host, "sudo cat /var/lib/certbound/services/token-service/config.json"
        )
        return {*json.loads(told)["clients"]}

    def left_over(self, host: str) -> str:
        """Return what on a host is half-written, or should be there only meanwhile."""
        return self.lab.ssh.run(
            host,
            "sudo find /var/lib/certbound -name '*.new' -o -name pending"
            " -o -name checkpoint.json -o -type f -empty",
        )

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
