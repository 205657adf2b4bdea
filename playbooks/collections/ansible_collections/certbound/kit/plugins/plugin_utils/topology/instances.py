"""Who runs where: the users, identities and names that each host must have.

Plain values out, ready for JSON. Called by the inventory plugin, and by what derives
the rest. Nothing here is secret.
"""

from __future__ import annotations

from typing import Any

from .model import TOKEN_SERVICE, Topology, seconds
from .places import Places, user_of

Json = dict[str, Any]


def accounts(topology: Topology, host: str, places: Places) -> list[Json]:
    """Return the users that `host` must have, each with its directory."""
    wanted = {name: places.instance(name) for name in identities_on(topology, host)}
    if host == topology.ca_host:
        wanted["ca"] = places.root / "ca"
    return [
        {"name": user_of(name), "directory": str(directory)}
        for name, directory in wanted.items()
    ]


def identities_on(topology: Topology, host: str) -> list[str]:
    """Return who has an identity on `host`: what runs there, and the proxies."""
    proxies = [proxy.name for proxy in topology.proxies.values() if host in proxy.hosts]
    return instances_on(topology, host) + proxies


def instances_on(topology: Topology, host: str) -> list[str]:
    """Return what we run on `host` by name, the token service first."""
    names = [TOKEN_SERVICE] if host in topology.token_hosts else []
    return names + [w.name for w in topology.workloads.values() if host in w.hosts]


def instance_id(name: str, host: str) -> str:
    """Return the name of the identity that `name` has on `host`."""
    return f"{name}@{host}"


def identities(topology: Topology, host: str, places: Places) -> list[Json]:
    """Return the identities that `host` must hold, and where."""
    return [
        {
            "identity": instance_id(name, host),
            "spiffe_id": topology.spiffe_id(name),
            "dns_names": topology.dns_names(name, host),
            "lifetime": seconds(topology.lifetimes.certificate),
            "directory": str(places.instance(name)),
            "owner": places.owner(name),
        }
        for name in identities_on(topology, host)
    ]
