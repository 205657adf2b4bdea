"""Who runs where: the users, identities and names that each host must have.

Plain values out, ready for JSON. Called by the inventory plugin, and by what derives
the rest. Nothing here is secret.
"""

from __future__ import annotations

from typing import Any

from .model import ENROLMENT, TOKEN_SERVICE, Topology, seconds
from .places import CA, Places, account_of, user_of

Json = dict[str, Any]


def accounts(topology: Topology, host: str, places: Places) -> list[Json]:
    """Return the users that `host` must have, each with its directory."""
    names = identities_on(topology, host)
    wanted = [(account_of(name), places.instance(name)) for name in names]
    if host == topology.ca_host:
        wanted.insert(0, (user_of(CA), places.authority))
    return [{"name": user, "directory": str(where)} for user, where in wanted]


def identities_on(topology: Topology, host: str) -> list[str]:
    """Return who has an identity on `host`: what runs there, and the proxies."""
    proxies = [proxy.name for proxy in topology.proxies.values() if host in proxy.hosts]
    return instances_on(topology, host) + proxies


def instances_on(topology: Topology, host: str) -> list[str]:
    """Return what we run on `host` by name, the token service first."""
    names = [TOKEN_SERVICE] if host in topology.token_hosts else []
    if topology.ca_port is not None and host == topology.ca_host:
        names.append(ENROLMENT)
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
