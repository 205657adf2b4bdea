"""The fleet: which hosts a lab has, read from a small YAML file.

`fleet.yml` beside this file is the usual one and says what each key means.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.errors import LabError
from tests.lab.places import HERE

DEFAULT = HERE / "fleet.yml"
RELEASES = ("bookworm", "trixie")

# A cable is named v-<host>, and an interface's name has at most 15 characters.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,12}")
_DISK = re.compile(r"[1-9][0-9]*[MG]")
_HOST_KEYS = {"release", "address", "disk", "aliases"}


@dataclass(frozen=True)
class Host:
    """One host as it was asked for."""

    name: str
    release: str
    address: str
    disk: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fleet:
    """All hosts of a lab, and the network they are on."""

    domain: str
    network: ipaddress.IPv4Network
    hosts: Mapping[str, Host]

    @property
    def controller(self) -> str:
        """Return the address of the machine that runs Ansible, with its prefix."""
        return f"{next(self.network.hosts())}/{self.network.prefixlen}"

    def names_of(self, host: str) -> list[str]:
        """Return every name under which `host` is found."""
        return [f"{host}.{self.domain}", host, *self.hosts[host].aliases]

    def hosts_file(self) -> str:
        """Return the /etc/hosts of every host and of the controller."""
        lines = [
            f"{host.address} {' '.join(self.names_of(host.name))}"
            for host in self.hosts.values()
        ]
        return "\n".join(["127.0.0.1 localhost", "::1 localhost", *lines, ""])

    def host(self, name: str) -> Host:
        """Return the host of that name.

        Raises:
            LabError: there is none.
        """
        if name not in self.hosts:
            raise LabError(f"no host {name!r} here; there are {', '.join(self.hosts)}")
        return self.hosts[name]


def read_fleet(path: Path) -> Fleet:
    """Return the fleet that a file describes.

    Raises:
        LabError: it cannot be used; the message names the file, the host and the key.
    """
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise LabError(f"{path}: {error}") from None
    try:
        return _understand(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise LabError(f"{path}: {error}") from None


def _understand(document: dict[str, Any]) -> Fleet:
    network = ipaddress.IPv4Network(document["network"])
    hosts = {
        name: _host(name, entry, network) for name, entry in document["hosts"].items()
    }
    if not hosts:
        raise ValueError("hosts: a lab has at least one")
    if len({host.address for host in hosts.values()}) < len(hosts):
        raise ValueError("hosts: two of them have the same address")
    return Fleet(domain=document["domain"], network=network, hosts=hosts)


def _host(name: str, entry: dict[str, Any], network: ipaddress.IPv4Network) -> Host:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name}: a-z, 0-9 and -, at most 13 characters")
    if unknown := entry.keys() - _HOST_KEYS:
        raise ValueError(f"{name}: unknown key {', '.join(sorted(unknown))}")
    if entry.get("release") not in RELEASES:
        raise ValueError(f"{name}: release is one of {', '.join(RELEASES)}")
    address = ipaddress.IPv4Address(entry["address"])
    if address not in list(network.hosts())[1:]:
        raise ValueError(f"{name}: address {address} is not free in {network}")
    disk = entry.get("disk")
    if disk is not None and not _DISK.fullmatch(disk):
        raise ValueError(f"{name}: disk is a size such as 300M or 2G")
    return Host(
        name=name,
        release=entry["release"],
        address=str(address),
        disk=disk,
        aliases=tuple(entry.get("aliases", ())),
    )
