"""Where things are found: ports, URLs, and the roots by which callers come.

Called by what derives documents and descriptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .model import ENROLMENT, TOKEN_SERVICE, Gateway, Service, Topology, seconds

if TYPE_CHECKING:
    from collections.abc import Mapping


def port_of(topology: Topology, name: str) -> int:
    """Return the port that `name` listens on, on each of its hosts."""
    if name == TOKEN_SERVICE:
        return topology.token_port
    if name == ENROLMENT and topology.ca_port is not None:
        return topology.ca_port
    if name in topology.proxies:
        return topology.proxies[name].port
    return topology.workloads[name].port


def url_of(topology: Topology, called: Service | Gateway) -> str:
    """Return where callers find a workload: on several hosts, by its own name."""
    if len(called.hosts) > 1:
        name = f"{called.name}.{topology.dns_domain}"
    else:
        name = topology.hosts[called.hosts[0]].dns
    return f"https://{name}:{called.port}{called.resource}"


def url_on(topology: Topology, called: Service | Gateway, host: str) -> str:
    """Return where one instance is found, by the name of its host."""
    return f"https://{topology.hosts[host].dns}:{called.port}{called.resource}"


def origins(topology: Topology, name: str, host: str) -> list[str]:
    """Return the roots by which callers reach an instance, each once.

    Those of the proxies before it belong to it: a DPoP proof is made for the URI that
    the caller knows (RFC 9449, section 4.3).
    """
    before = [
        (proxy.name, where)
        for proxy in topology.proxies.values()
        if proxy.service == name
        for where in proxy.hosts
    ]
    roots = [
        f"https://{dns}:{port_of(topology, one)}"
        for one, where in [(name, host), *before]
        for dns in topology.dns_names(one, where)
    ]
    return list(dict.fromkeys(roots))


def renewal(topology: Topology) -> Mapping[str, Any]:
    """Return where a process renews its certificate, as a member; or nothing."""
    if topology.ca_port is None:
        return {}
    root = f"https://{topology.hosts[topology.ca_host].dns}:{topology.ca_port}"
    front = {
        "url": f"{root}/.well-known/est",
        "spiffe_id": topology.spiffe_id(ENROLMENT),
        **grace(topology),
    }
    return {"renewal": front}


def grace(topology: Topology) -> Mapping[str, int]:
    """Return how long an expired certificate renews itself, as a member; or nothing."""
    length = seconds(topology.lifetimes.grace)
    return {"grace": length} if length else {}


def revocation(topology: Topology) -> Mapping[str, Any]:
    """Return where a process learns of revocations, as a member; or nothing."""
    told = topology.publication
    if told is None:
        return {}
    return {"revocation": {"url": told.url, "bound": seconds(told.bound)}}


def publication(topology: Topology) -> Mapping[str, Any]:
    """Return where the CA's front tells of them, as a member; or nothing."""
    told = topology.publication
    if told is None:
        return {}
    return {"publication": {"port": told.port, "path": urlsplit(told.url).path}}


def token_service(topology: Topology) -> Mapping[str, Any]:
    """Return where the token service is, and who it must prove to be."""
    return {
        "issuer": topology.issuer,
        "token_endpoint": f"{topology.issuer}/token",
        "jwks_uri": f"{topology.issuer}/jwks",
        "revocations_uri": f"{topology.issuer}/revocations",
        "spiffe_id": topology.spiffe_id(TOKEN_SERVICE),
    }
