"""What stands in front of a process: the proxies that end TLS, and the gateways.

Each is believed by the processes behind it, and by nobody else. Called by `processes`
for what they believe, and by the inventory plugin for what the role `proxy` writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .addresses import port_of

if TYPE_CHECKING:
    from .model import Proxy, Topology
    from .places import Places

Json = dict[str, Any]


def hops(topology: Topology, name: str) -> list[Json]:
    """Return who may say for others that they call `name`."""
    gateways = [
        {
            "form": "client-cert",
            "spiffe_id": topology.spiffe_id(gateway.name),
            "binding": "hop",
        }
        for gateway in topology.gateways.values()
        if name in gateway.calls
    ]
    proxies = [
        {
            "form": proxy.form,
            "spiffe_id": topology.spiffe_id(proxy.name),
            "binding": "caller",
        }
        for proxy in topology.proxies.values()
        if proxy.service == name
    ]
    return gateways + proxies


def proxies(topology: Topology, host: str, places: Places) -> list[Json]:
    """Return what the role `proxy` needs to know of each proxy on `host`."""
    return [
        {
            "kind": proxy.kind,
            "program": proxy.program,
            "user": proxy.user,
            "directory": str(places.root / "proxies" / proxy.name),
            "identity": str(places.current(proxy.name)),
            "sites": [_site(topology, proxy, host)],
        }
        for proxy in topology.proxies.values()
        if host in proxy.hosts
    ]


def _site(topology: Topology, proxy: Proxy, host: str) -> Json:
    """Return the one port of a proxy, and the origin: on its own host, if there is."""
    hosts = topology.workloads[proxy.service].hosts
    origin = host if host in hosts else hosts[0]
    return {
        "name": proxy.name.replace("-", "_"),
        "address": topology.hosts[host].address,
        "port": proxy.port,
        "origin_address": topology.hosts[origin].address,
        "origin_port": port_of(topology, proxy.service),
        "origin_dns_name": topology.dns_names(proxy.service, origin)[0],
        "origin_spiffe_id": topology.spiffe_id(proxy.service),
    }
