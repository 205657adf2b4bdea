"""The CA's policy: which names it signs, and how long what it signs lives.

Taken from the topology, and not from a request. Called by the inventory plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .instances import identities_on, instance_id
from .model import seconds

if TYPE_CHECKING:
    from .model import Topology


def ca_policy(topology: Topology) -> dict[str, Any]:
    """Return what the CA may sign: names and lives, taken from here and not a CSR."""
    within = f".{topology.dns_domain}"
    outside = [
        host.dns
        for host in topology.hosts.values()
        if host.dns != topology.dns_domain and not host.dns.endswith(within)
    ]
    told = topology.publication
    pointers = {"url": told.url, "shards": told.shards} if told else None
    return {
        "trust_domain": topology.trust_domain,
        "permitted_dns": [topology.dns_domain, *outside],
        "lifetimes": {
            "root": seconds(topology.lifetimes.root),
            "issuing_ca": seconds(topology.lifetimes.issuing_ca),
        },
        "identities": {
            instance_id(name, host): {
                "spiffe_id": topology.spiffe_id(name),
                "dns_names": topology.dns_names(name, host),
                "lifetime": seconds(topology.lifetimes.certificate),
            }
            for host in topology.hosts
            for name in identities_on(topology, host)
        },
        **({"revocation": pointers} if pointers else {}),
    }
