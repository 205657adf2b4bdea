"""The configuration document of every process, as `services.config` reads it.

Plain values out, ready for JSON. Called by the inventory plugin. Nothing here is
secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .addresses import (
    grace,
    origins,
    port_of,
    publication,
    renewal,
    revocation,
    token_service,
    url_of,
)
from .federated import (
    bundle_endpoint,
    federation_of,
    federation_of_clients,
    foreign_callees,
)
from .hops import hops
from .instances import instance_id, instances_on
from .model import ENROLMENT, TOKEN_SERVICE, Gateway, Service, Store, Topology
from .registrations import token_clients

if TYPE_CHECKING:
    from .places import Places

Json = dict[str, Any]


def processes(topology: Topology, host: str, places: Places) -> list[Json]:
    """Return the processes of `host`, each with its configuration document."""
    return [
        {
            "name": name,
            "address": topology.hosts[host].address,
            "port": port_of(topology, name),
            "config": str(places.instance(name) / "config.json"),
            "owner": places.owner(name),
            "document": process_document(topology, name, host, places),
        }
        for name in instances_on(topology, host)
    ]


def process_document(topology: Topology, name: str, host: str, places: Places) -> Json:
    """Return the configuration of one process."""
    common: Json = {
        "service": name,
        "instance": instance_id(name, host),
        "trust_domain": topology.trust_domain,
        "spiffe_id": topology.spiffe_id(name),
        "address": topology.hosts[host].address,
        "port": port_of(topology, name),
        "identity": str(places.current(name)),
        "tls_minimum": topology.tls_minimum,
        "profile": topology.profile,
        "monitors": list(topology.monitors),
        "state": str(places.state(name)),
        "trusted_hops": hops(topology, name),
        **renewal(topology),
        **revocation(topology),
    }
    if name == ENROLMENT:
        return common | _of_front(topology, places)
    if name == TOKEN_SERVICE:
        common |= _store(topology.token_store)
        return common | _of_token_service(topology, host)
    common |= _store(topology.workloads[name].store)
    if name in topology.gateways:
        return common | _of_gateway(topology, topology.gateways[name], host)
    return common | _of_service(topology, topology.services[name], host)


def _of_front(topology: Topology, places: Places) -> Json:
    return {
        "kind": "enrolment",
        "ca": str(places.authority),
        "issuing_passphrase": str(places.secret(ENROLMENT, "issuing-passphrase")),
        **publication(topology),
        **bundle_endpoint(topology),
        **grace(topology),
    }


def _store(store: Store | None) -> Json:
    """Return where state stands; without a word of it, each process keeps its own."""
    if store is None:
        return {}
    password = {"store_password": store.password} if store.password else {}
    return {"store": store.url, **password}


def _of_token_service(topology: Topology, host: str) -> Json:
    return {
        "kind": "token-service",
        "issuer": topology.issuer,
        "clients": token_clients(topology),
        "trust_bundles": dict(topology.trust_bundles),
        **federation_of_clients(topology),
        **topology.token_options,
        **_replicas(topology, host),
    }


def _of_service(topology: Topology, service: Service, host: str) -> Json:
    return {
        "kind": "service",
        "app": service.app,
        "client_id": service.name,
        "token_service": token_service(topology),
        "guard": {
            "audience": service.audience,
            "resource": service.resource,
            "scopes": list(service.scopes),
            "bearer_clients": list(service.bearer_clients),
            "origins": origins(topology, service.name, host),
        },
        "calls": {
            callee: _callee(topology, callee) | {"scopes": list(scopes)}
            for callee, scopes in service.calls.items()
        }
        | foreign_callees(topology, service.name),
        **federation_of(topology, service.name),
    }


def _of_gateway(topology: Topology, gateway: Gateway, host: str) -> Json:
    return {
        "kind": "gateway",
        "client_id": gateway.name,
        "audience": gateway.audience,
        "token_service": {
            **token_service(topology),
            "introspection_endpoint": f"{topology.issuer}/introspect",
        },
        "routes": {
            prefix: _callee(topology, route.service)
            | {
                "scopes": list(route.scopes),
                "optional_scopes": list(route.optional_scopes),
            }
            for prefix, route in gateway.routes.items()
        },
        "origins": origins(topology, gateway.name, host),
    }


def _callee(topology: Topology, name: str) -> Json:
    called = topology.workloads[name]
    return {
        "url": url_of(topology, called),
        "spiffe_id": topology.spiffe_id(name),
        "audience": called.audience,
    }


def _replicas(topology: Topology, host: str) -> Json:
    """Return the other processes of the token service, whose keys each publishes."""
    others = [
        {
            "jwks_uri": (
                f"https://{topology.hosts[other].dns}:{topology.token_port}/jwks/own"
            ),
            "spiffe_id": topology.spiffe_id(TOKEN_SERVICE),
        }
        for other in topology.token_hosts
        if other != host
    ]
    return {"replicas": others} if others else {}
