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
  process_manager:
    description: What keeps the processes alive.
    type: str
    choices: [supervisor]
    default: supervisor
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
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.certbound.kit.plugins.plugin_utils.topology import derivation
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.document import (
    TopologyError,
    read_document,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.meaning import (
    read_meaning,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.model import (
    TOKEN_SERVICE,
    Topology,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.shape import (
    check_shape,
)

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
        try:
            topology = load(_as_seen_from_here(self._place(base, "topology")))
        except TopologyError as error:
            # Raised, this would be one of three warnings (Ansible tries the file with
            # each of its own plugins too), each printed twice, and an error that does
            # not name the cause. Said once and alone, it is read.
            self.display.error(str(error), wrap_text=False)
            raise SystemExit(_EXIT_UNREADABLE) from None
        places = derivation.Places(
            project=PurePosixPath(self._place(base, "project")),
            root=PurePosixPath(self._place(base, "root")),
        )
        self._add_common(topology, places)
        for host in topology.hosts:
            self._add_host(topology, host, places)

    def _place(self, base: Path, option: str) -> Path:
        chosen = os.environ.get(f"CERTBOUND_{option.upper()}")
        if not chosen or option == "project":
            return Path(os.path.normpath(base / self.get_option(option)))
        return Path(chosen).absolute()

    def _add_common(self, topology: Topology, places: derivation.Places) -> None:
        self.inventory.add_group("certbound")
        common = {
            **self.get_option("vars"),
            "certbound_project": str(places.project),
            "certbound_root": str(places.root),
            "certbound_process_manager": self.get_option("process_manager"),
            "certbound_renew_before": int(
                topology.lifetimes.renew_before.total_seconds()
            ),
            "certbound_ca_policy": derivation.ca_policy(topology),
            "certbound_deployment_file": str(places.root / "deployment.json"),
            "certbound_deployment": derivation.deployment(topology, places),
        }
        for name, value in common.items():
            self.inventory.set_variable("certbound", name, value)
        for group in ("ca", TOKEN_SERVICE, *topology.services):
            self.inventory.add_group(group_of(group))
            self.inventory.add_child("certbound", group_of(group))

    def _add_host(
        self, topology: Topology, host: str, places: derivation.Places
    ) -> None:
        self.inventory.add_host(host, "certbound")
        if host == topology.ca_host:
            self.inventory.add_host(host, "ca")
        for service in derivation.instances_on(topology, host):
            self.inventory.add_host(host, group_of(service))
        facts = {
            "certbound_address": topology.hosts[host].address,
            "certbound_identities": derivation.identities(topology, host, places),
            "certbound_processes": derivation.processes(topology, host, places),
        }
        for name, value in facts.items():
            self.inventory.set_variable(host, name, value)


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
    if name in {"ca", TOKEN_SERVICE}:
        return name.replace("-", "_")
    return f"service_{name.replace('-', '_')}"
