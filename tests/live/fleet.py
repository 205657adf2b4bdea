"""What a live inventory says should be, and what one look at it says there is.

`Fleet` is read from `ansible-inventory --list`; `look` runs `playbooks/verify.yml`
once, which changes nothing on any host, and reads the evidence that it leaves beside
the deployment's description. All tests compare the one with the other.
"""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pki.clock import from_text, utc_now

PROJECT = Path(__file__).parents[2]
TOKEN_SERVICE = "token-service"
_BIN = Path(sys.executable).parent

Json = dict[str, Any]


class FleetError(Exception):
    """The inventory cannot be read, or nothing could be seen of it."""


@dataclass(frozen=True)
class Fleet:
    """What the inventory says: hosts, their identities, and the deployment."""

    inventory: Path
    hosts: Mapping[str, Json]

    @property
    def deployment(self) -> Json:
        """The description of the deployment, as the topology says it."""
        described: Json = self._common["certbound_deployment"]
        return described

    @property
    def deployment_file(self) -> Path:
        """Where the roll-out has left that description, on the controller."""
        return Path(self._common["certbound_deployment_file"])

    @property
    def renew_before(self) -> int:
        """How many seconds before its end a roll-out renews a certificate."""
        return int(self._common["certbound_renew_before"])

    @property
    def services(self) -> list[str]:
        """The names of the services, without the token service."""
        return list(self.deployment["services"])

    @property
    def gateways(self) -> list[str]:
        """The names of the gateways."""
        return list(self.deployment["gateways"])

    @property
    def workloads(self) -> list[str]:
        """The names of everything that may be called."""
        return [*self.services, *self.gateways]

    @property
    def identities(self) -> dict[str, Json]:
        """Each identity by its name, such as orders@host-1."""
        return {
            identity["identity"]: identity
            for host in self.hosts.values()
            for identity in host.get("certbound_identities", [])
        }

    @property
    def allowed(self) -> list[tuple[str, str]]:
        """Each pair of services or gateways of which the first may call the second."""
        return [
            (caller, callee)
            for caller in self.workloads
            for callee in self.workloads
            if callee in self.callees(caller)
        ]

    @property
    def refused(self) -> list[tuple[str, str]]:
        """Every other pair."""
        return [
            (caller, callee)
            for caller in self.workloads
            for callee in self.workloads
            if caller != callee and callee not in self.callees(caller)
        ]

    def callees(self, caller: str) -> list[str]:
        """Return whom a service may call, or where a gateway leads."""
        if caller in self.gateways:
            routes = self.deployment["gateways"][caller]["routes"].values()
            return [route["service"] for route in routes]
        calls = self.deployment["services"][caller]["calls"]
        return [call["service"] for call in calls]

    def instances(self, service: str) -> list[str]:
        """Return the identities of a service, one for each of its hosts."""
        return [name for name in self.identities if name.split("@")[0] == service]

    def owner(self, identity: str) -> str:
        """Return whose key it should be: of a user of its own, or of who runs all."""
        own: str | None = self.identities[identity].get("owner")
        return own or pwd.getpwuid(os.geteuid()).pw_name

    @property
    def _common(self) -> Json:
        return next(iter(self.hosts.values()))


@dataclass(frozen=True)
class Seen:
    """What one look has found."""

    evidence: Json
    page: Path

    @property
    def identities(self) -> dict[str, Json]:
        """What each live port presents, by the name of the identity."""
        return {
            f"{one['service']}@{one['host']}": one
            for one in self.evidence["probe"]["identities"]
        }

    def tries(self, caller: str, callee: str) -> list[Json]:
        """Return every call from an instance of one service to one of another."""
        return [
            edge
            for edge in self.evidence["probe"]["edges"]
            if (edge["caller"], edge["callee"]) == (caller, callee)
        ]


def read_fleet(inventory: Path) -> Fleet:
    """Read an inventory, as Ansible does.

    Raises:
        FleetError: Ansible cannot, or it is none of this collection's.
    """
    said = _ansible("ansible-inventory", inventory, "--list")
    if said.returncode:
        raise FleetError(f"{inventory}: {_last_line(said)}")
    listed = json.loads(said.stdout, object_hook=_as_it_was)
    hosts = listed.get("_meta", {}).get("hostvars", {})
    ours = {
        name: facts for name, facts in hosts.items() if "certbound_deployment" in facts
    }
    if not ours:
        raise FleetError(f"{inventory}: no host in it has a certbound_deployment")
    return Fleet(inventory, ours)


def look(fleet: Fleet) -> Seen:
    """Try everything once, changing nothing.

    A difference is no error here: it is in the evidence, and the tests name it.

    Raises:
        FleetError: the run ended before there was any evidence.
    """
    began = utc_now()
    path = fleet.deployment_file.with_name("report.json")
    said = _ansible("ansible-playbook", fleet.inventory, "playbooks/verify.yml")
    evidence: Json = json.loads(path.read_text()) if path.exists() else {}
    if not evidence or from_text(evidence["made_at"]) < began:
        raise FleetError(f"playbooks/verify.yml ended without evidence:\n{said.stdout}")
    return Seen(evidence, path.with_name("report.html"))


def _ansible(
    program: str, inventory: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    command: Sequence[str | Path] = (_BIN / program, "-i", inventory, *arguments)
    return subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=False
    )


def _as_it_was(value: Json) -> Any:
    """Return a text that Ansible has marked as not a template, without the mark."""
    return value.get("__ansible_unsafe", value)


def _last_line(said: subprocess.CompletedProcess[str]) -> str:
    lines = (said.stderr or said.stdout).strip().splitlines()
    return lines[-1] if lines else f"ended with {said.returncode}"
