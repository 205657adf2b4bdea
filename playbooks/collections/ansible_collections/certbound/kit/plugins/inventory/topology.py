"""The inventory that a topology file describes."""

# Ansible reads DOCUMENTATION before it imports anything, so it stands first.
DOCUMENTATION = r"""
name: topology
short_description: Hosts, groups and derived data from a Certbound topology
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Reads one topology file, checks it, and makes of it the hosts and groups that the
    playbooks of this collection roll out to, with all data derived from it.
  - A topology that cannot be used ends the run with one sentence that names the file,
    the line, the key and what was expected.
  - The environment variables E(CERTBOUND_TOPOLOGY) and E(CERTBOUND_ROOT) win over the
    options O(topology) and O(root), so that one inventory serves a second roll-out.
options:
  plugin:
    description: Names this plugin; C(certbound.kit.topology).
    type: str
    required: true
    choices: [certbound.kit.topology]
  topology:
    description: The topology file, relative to the inventory file.
    type: str
    required: true
  root:
    description:
      - The directory on each host under which everything is made, relative to the
        inventory file if O(vars) says that the connection is local.
    type: str
    required: true
  project:
    description:
      - The project's root on the controller, relative to the inventory file. Commands
        run there, and the paths in C(deployment.json) are relative to it.
    type: str
    required: true
  controller_root:
    description:
      - The directory on the controller for what stays there, relative to the inventory
        file - the passphrases of the CA's keys and C(deployment.json). It is O(root)
        unless said, which is right where the hosts are the controller.
    type: str
  process_manager:
    description:
      - What keeps the processes alive. With C(systemd) each instance has a user of its
        own and hosts get releases; with C(supervisor) all is one user's, and processes
        run the code that is on the host.
    type: str
    choices: [supervisor, systemd]
    default: supervisor
  releases:
    description: With C(systemd), the directory of releases on each host.
    type: str
    default: /opt/certbound
  targets:
    description: With C(systemd), the kinds of hosts that releases are made for.
    type: list
    elements: str
    default: [cp311-x86_64, cp313-x86_64]
  vars:
    description: Variables of all hosts, such as the connection and the interpreter.
    type: dict
    default: {}
"""

EXAMPLES = r"""
plugin: certbound.kit.topology
topology: ../topology.yml
root: ../../certs
project: ../..
process_manager: supervisor
vars:
  ansible_connection: local
  ansible_python_interpreter: "{{ ansible_playbook_python }}"
"""

import os
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.deployment import (
    deployment,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.document import (
    TopologyError,
    read_document,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.hops import (
    proxies,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.instances import (
    accounts,
    identities,
    identities_on,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.meaning import (
    read_meaning,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.model import (
    ENROLMENT,
    TOKEN_SERVICE,
    Topology,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.places import (
    Places,
    user_of,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.policy import (
    ca_policy,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.processes import (
    processes,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.shape import (
    check_shape,
)

# Groups; a host may well be called ca.
_AUTHORITY = "certificate_authority"
_WORKLOADS = "workloads"  # the group of hosts that run anything at all
_KEPT = "topology.yml"  # by the action `describe`
_EXIT_UNREADABLE = 4  # as Ansible's own for a file that cannot be parsed


class InventoryModule(BaseInventoryPlugin):
    """Makes hosts, groups and variables of a topology file."""

    NAME = "certbound.kit.topology"

    def verify_file(self, path: str) -> bool:
        """Return whether `path` may be a configuration of this plugin."""
        return super().verify_file(path) and path.endswith((".yml", ".yaml"))

    def parse(
        self,
        inventory: Any,
        loader: Any,
        path: str,
        cache: bool = True,  # noqa: FBT001, FBT002 -- the base class's
    ) -> None:
        """Fill `inventory` with what the topology named in `path` describes."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        base = Path(path).resolve().parent
        places = Places(
            project=PurePosixPath(self._place(base, "project")),
            root=PurePosixPath(self._place(base, "root")),
            own_users=self.get_option("process_manager") == "systemd",
        )
        controller = places.root
        if self.get_option("controller_root"):
            controller = PurePosixPath(self._place(base, "controller_root"))
        file = self._place(base, "topology")
        try:
            topology = load(_as_seen_from_here(file))
        except TopologyError as error:
            # Raised, this would be one of three warnings (Ansible tries the file with
            # each of its own plugins too), each printed twice, and an error that does
            # not name the cause. Said once and alone, it is read.
            said = f"{error}{_way_out(file, Path(controller) / _KEPT)}"
            self.display.error(said, wrap_text=False)
            raise SystemExit(_EXIT_UNREADABLE) from None
        self.inventory.add_group("certbound")
        self.inventory.set_variable("certbound", "certbound_topology", str(file))
        self._add_common(topology, places, controller)
        # The CA's first: without its front nobody else could know who is revoked.
        for host in sorted(topology.hosts, key=topology.ca_host.__ne__):
            self._add_host(topology, host, places)

    def _place(self, base: Path, option: str) -> Path:
        chosen = os.environ.get(f"CERTBOUND_{option.upper()}")
        if not chosen or option == "project":
            return Path(os.path.normpath(base / self.get_option(option)))
        return Path(chosen).absolute()

    def _add_common(
        self,
        topology: Topology,
        places: Places,
        controller: PurePosixPath,
    ) -> None:
        common = {
            **self._of_releases(places),
            **self.get_option("vars"),
            "certbound_project": str(places.project),
            "certbound_root": str(places.root),
            "certbound_secrets": str(controller / "secrets"),
            "certbound_process_manager": self.get_option("process_manager"),
            "certbound_renew_before": int(
                topology.lifetimes.renew_before.total_seconds()
            ),
            "certbound_ca_policy": ca_policy(topology),
            "certbound_ca_keys": asdict(topology.keys) if topology.keys else {},
            "certbound_ca_ledger": {
                "url": topology.ledger.url,
                "password_file": topology.ledger.password,
            }
            if topology.ledger
            else {},
            "certbound_deployment_file": str(controller / "deployment.json"),
            "certbound_deployment": deployment(topology, places),
        }
        for name, value in common.items():
            self.inventory.set_variable("certbound", name, value)
        named = [*topology.workloads, *topology.proxies]
        for group in (_AUTHORITY, _WORKLOADS, TOKEN_SERVICE, ENROLMENT, *named):
            self.inventory.add_group(group_of(group))
            self.inventory.add_child("certbound", group_of(group))

    def _of_releases(self, places: Places) -> dict[str, Any]:
        """Return where hosts find the kit: in its project, or in a release."""
        if not places.own_users:
            return {"certbound_chdir": str(places.project)}
        releases = self.get_option("releases")
        python = f"{releases}/current/bin/python"
        user = user_of("ca")
        as_user = [f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return {
            "certbound_chdir": "/",
            "certbound_releases": releases,
            "certbound_targets": self.get_option("targets"),
            "certbound_python": python,
            # Root becomes the CA's user, in the groups that let it use its token; what
            # is then run is root's and read-only.
            "certbound_ca_command": ["setpriv", *as_user, python, "-I", "-m", "pki"],
        }

    def _add_host(self, topology: Topology, host: str, places: Places) -> None:
        self.inventory.add_host(host, "certbound")
        if host == topology.ca_host:
            self.inventory.add_host(host, _AUTHORITY)
        for name in identities_on(topology, host):
            self.inventory.add_host(host, _WORKLOADS)
            self.inventory.add_host(host, group_of(name))
        facts = {
            "certbound_address": topology.hosts[host].address,
            "certbound_accounts": accounts(topology, host, places),
            "certbound_identities": identities(topology, host, places),
            "certbound_proxies": proxies(topology, host, places),
            "certbound_processes": processes(topology, host, places),
        }
        for name, value in facts.items():
            self.inventory.set_variable(host, name, value)


def _way_out(file: Path, kept: Path) -> str:
    """Return how to go on with the topology that was rolled out last, if it is kept."""
    if not kept.is_file() or kept == file:
        return ""
    seen = _as_seen_from_here(kept)
    return f"\nTo stop what runs by the last one: CERTBOUND_TOPOLOGY={seen}"


def _as_seen_from_here(path: Path) -> Path:
    """Return the shorter of a path's names, for messages."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def load(path: Path) -> Topology:
    """Read, check and understand the topology at `path`.

    Raises:
        TopologyError: it cannot be used.
    """
    document = read_document(path)
    check_shape(document)
    return read_meaning(document)


def group_of(name: str) -> str:
    """Return the group of a service: no hyphen, and not the name of a host."""
    if name in {_AUTHORITY, _WORKLOADS, TOKEN_SERVICE}:
        return name.replace("-", "_")
    return f"service_{name.replace('-', '_')}"
