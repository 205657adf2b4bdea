"""The description of the roll-out for machines: `deployment.json`.

Plain values out, ready for JSON; `services.deployment` reads them. Called by the
inventory plugin. It names private keys by their paths and holds nothing secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .addresses import port_of, token_service, url_of, url_on
from .instances import instance_id, instances_on
from .model import TOKEN_SERVICE, Gateway, Service, Topology

if TYPE_CHECKING:
    from .places import Places

Json = dict[str, Any]


def deployment(topology: Topology, places: Places) -> Json:
    """Return what was rolled out, with paths relative to the project."""
    description: Json = {
        "trust_domain": topology.trust_domain,
        "issuer": topology.issuer,
        "metadata_url": f"{topology.issuer}/.well-known/oauth-authorization-server",
        "trust_bundle": _identity_file(places, TOKEN_SERVICE, "bundle.pem"),
        "token_service": {
            **token_service(topology),
            **_party(topology, places, TOKEN_SERVICE, topology.token_hosts[0]),
        },
        "services": {
            name: _service(topology, places, service)
            for name, service in topology.services.items()
        },
        "gateways": {
            name: _gateway(topology, places, gateway)
            for name, gateway in topology.gateways.items()
        },
        "instances": [
            _instance(topology, places, name, host)
            for host in topology.hosts
            for name in instances_on(topology, host)
        ],
    }
    if topology.drill is not None:
        description["drill"] = dict(topology.drill)
    return description


def _service(topology: Topology, places: Places, service: Service) -> Json:
    return _called(topology, places, service) | {
        "scopes": list(service.scopes),
        "calls": [
            {"service": callee, "scopes": list(scopes)}
            for callee, scopes in service.calls.items()
        ],
    }


def _gateway(topology: Topology, places: Places, gateway: Gateway) -> Json:
    return _called(topology, places, gateway) | {
        "routes": {
            prefix: {
                "service": route.service,
                "scopes": list(route.scopes),
                "optional_scopes": list(route.optional_scopes),
            }
            for prefix, route in gateway.routes.items()
        }
    }


def _called(topology: Topology, places: Places, called: Service | Gateway) -> Json:
    return _party(topology, places, called.name, called.hosts[0]) | {
        "url": url_of(topology, called),
        "audience": called.audience,
        "client_id": called.name,
    }


def _instance(topology: Topology, places: Places, name: str, host: str) -> Json:
    party = _party(topology, places, name, host)
    party |= {"service": name, "instance": instance_id(name, host)}
    if name in topology.workloads:
        party["url"] = url_on(topology, topology.workloads[name], host)
    return party


def _party(topology: Topology, places: Places, name: str, host: str) -> Json:
    return {
        "host": host,
        "spiffe_id": topology.spiffe_id(name),
        "dns_names": topology.dns_names(name, host),
        "address": topology.hosts[host].address,
        "port": port_of(topology, name),
        "certificate": _identity_file(places, name, "certificate.pem"),
        "private_key": _identity_file(places, name, "key.pem"),
    }


def _identity_file(places: Places, name: str, file: str) -> str:
    return places.relative(places.current(name) / file)
