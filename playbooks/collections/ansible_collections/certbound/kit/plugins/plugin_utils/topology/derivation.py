"""Derive from a topology everything that the roll-out needs.

Plain values out, ready for JSON: the CA's policy, what each host must be and run, each
process's configuration, and the deployment's description. Called by the inventory
plugin. Nothing here reads or writes a file, and nothing here is secret.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .model import TOKEN_SERVICE, Calls, Service, Topology

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import PurePosixPath

Json = dict[str, Any]

_LONGEST_USER = 31


@dataclass(frozen=True)
class Places:
    """Where a roll-out lies on a host (absolute), and what paths are relative to.

    With `own_users`, each instance belongs to a user of the system made for it.
    """

    project: PurePosixPath
    root: PurePosixPath
    own_users: bool = False

    def owner(self, service: str) -> str | None:
        """Return the user that the instances of `service` belong to."""
        return user_of(service) if self.own_users else None

    def instance(self, service: str) -> PurePosixPath:
        """Return the directory of one service on its host."""
        return self.root / "services" / service

    def relative(self, path: PurePosixPath) -> str:
        """Return `path` as seen from the project, or whole if it lies elsewhere."""
        try:
            return str(path.relative_to(self.project))
        except ValueError:
            return str(path)


def user_of(service: str) -> str:
    """Return the name of a service's user; Linux allows 32 characters."""
    name = f"certbound-{service}"
    if len(name) <= _LONGEST_USER:
        return name
    return (
        f"certbound-{service[:12]}-{hashlib.sha256(service.encode()).hexdigest()[:8]}"
    )


def accounts(topology: Topology, host: str, places: Places) -> list[Json]:
    """Return the users that `host` must have, each with its directory."""
    wanted = {
        service: places.instance(service) for service in instances_on(topology, host)
    }
    if host == topology.ca_host:
        wanted["ca"] = places.root / "ca"
    return [
        {"name": user_of(service), "directory": str(directory)}
        for service, directory in wanted.items()
    ]


def instances_on(topology: Topology, host: str) -> list[str]:
    """Return the services that run on `host`, the token service first."""
    names = [TOKEN_SERVICE] if host in topology.token_hosts else []
    return names + [s.name for s in topology.services.values() if host in s.hosts]


def instance_id(service: str, host: str) -> str:
    """Return the name of the identity that `service` has on `host`."""
    return f"{service}@{host}"


def ca_policy(topology: Topology) -> Json:
    """Return what the CA may sign: names and lives, taken from here and not a CSR."""
    within = f".{topology.dns_domain}"
    outside = [
        host.dns
        for host in topology.hosts.values()
        if host.dns != topology.dns_domain and not host.dns.endswith(within)
    ]
    return {
        "trust_domain": topology.trust_domain,
        "permitted_dns": [topology.dns_domain, *outside],
        "lifetimes": {
            "root": _seconds(topology.lifetimes.root),
            "issuing_ca": _seconds(topology.lifetimes.issuing_ca),
        },
        "identities": {
            instance_id(service, host): {
                "spiffe_id": topology.spiffe_id(service),
                "dns_names": topology.dns_names(service, host),
                "lifetime": _seconds(topology.lifetimes.certificate),
            }
            for host in topology.hosts
            for service in instances_on(topology, host)
        },
    }


def identities(topology: Topology, host: str, places: Places) -> list[Json]:
    """Return the identities that `host` must hold, and where."""
    return [
        {
            "identity": instance_id(service, host),
            "spiffe_id": topology.spiffe_id(service),
            "dns_names": topology.dns_names(service, host),
            "lifetime": _seconds(topology.lifetimes.certificate),
            "directory": str(places.instance(service)),
            "owner": places.owner(service),
        }
        for service in instances_on(topology, host)
    ]


def processes(topology: Topology, host: str, places: Places) -> list[Json]:
    """Return the processes of `host`, each with its configuration document."""
    return [
        {
            "name": service,
            "address": topology.hosts[host].address,
            "port": _port(topology, service),
            "config": str(places.instance(service) / "config.json"),
            "owner": places.owner(service),
            "document": process_document(topology, service, host, places),
        }
        for service in instances_on(topology, host)
    ]


def process_document(
    topology: Topology, service: str, host: str, places: Places
) -> Json:
    """Return the configuration of one process, as `services.config` reads it."""
    directory = places.instance(service)
    common = {
        "service": service,
        "instance": instance_id(service, host),
        "trust_domain": topology.trust_domain,
        "spiffe_id": topology.spiffe_id(service),
        "address": topology.hosts[host].address,
        "port": _port(topology, service),
        "identity": str(directory / "identity" / "current"),
        "tls_minimum": topology.tls_minimum,
    }
    if service == TOKEN_SERVICE:
        return common | {
            "kind": "token-service",
            "issuer": topology.issuer,
            "state": str(directory / "state"),
            "clients": token_clients(topology),
            **_replicas(topology, host),
        }
    own = topology.services[service]
    return common | {
        "kind": "service",
        "app": own.app,
        "client_id": service,
        "token_service": _token_service(topology),
        "guard": {
            "audience": own.audience,
            "resource": own.resource,
            "scopes": list(own.scopes),
            "bearer_clients": list(own.bearer_clients),
            "origins": _origins(topology, service, host),
        },
        "state": str(directory / "state"),
        "calls": {
            callee: {
                "url": _url(topology, topology.services[callee]),
                "spiffe_id": topology.spiffe_id(callee),
                "audience": topology.services[callee].audience,
                "scopes": list(scopes),
            }
            for callee, scopes in own.calls.items()
        },
    }


def token_clients(topology: Topology) -> Json:
    """Return the token service's clients: one a service, then the registered ones.

    A service that calls nobody is registered too: it is refused a token for a reason
    of its own (no such audience), and not for being unknown.
    """
    own = {
        name: _client(
            topology, name, service.calls, topology.lifetimes.token, "certificate"
        )
        | {"audience": service.audience, "delegates": _delegates(topology, service)}
        for name, service in topology.services.items()
    }
    return own | {
        name: _client(topology, c.service, c.calls, c.lifetime, c.binding)
        | {"format": c.format}
        for name, c in topology.clients.items()
    }


def _client(
    topology: Topology, service: str, calls: Calls, lifetime: timedelta, binding: str
) -> Json:
    return {
        "tls_client_auth": {"san_uri": topology.spiffe_id(service)},
        "binding": binding,
        "lifetime": _seconds(lifetime),
        "audiences": {
            topology.services[callee].audience: list(scopes)
            for callee, scopes in calls.items()
        },
    }


def _delegates(topology: Topology, service: Service) -> Json:
    """Return what `service` may get elsewhere for a caller, by the caller's scope.

    Unless the topology narrows it, whoever may call the service lets it do in his name
    what it may do in its own.
    """
    return {
        scope: {
            topology.services[callee].audience: list(scopes)
            for callee, scopes in service.delegates.get(scope, service.calls).items()
        }
        for scope in service.scopes
    }


def deployment(topology: Topology, places: Places) -> Json:
    """Return the description of the roll-out for machines (`deployment.json`)."""
    description: Json = {
        "trust_domain": topology.trust_domain,
        "issuer": topology.issuer,
        "metadata_url": f"{topology.issuer}/.well-known/oauth-authorization-server",
        "trust_bundle": _identity_file(places, TOKEN_SERVICE, "bundle.pem"),
        "token_service": _token_service(topology)
        | _instance(topology, places, TOKEN_SERVICE, topology.token_hosts[0]),
        "services": {
            name: _deployed(topology, places, service)
            for name, service in topology.services.items()
        },
        "instances": [
            _instance(topology, places, service, host)
            | {"service": service, "instance": instance_id(service, host)}
            | _own_url(topology, service, host)
            for host in topology.hosts
            for service in instances_on(topology, host)
        ],
    }
    if topology.drill is not None:
        description["drill"] = dict(topology.drill)
    return description


def _deployed(topology: Topology, places: Places, service: Service) -> Json:
    return _instance(topology, places, service.name, service.hosts[0]) | {
        "url": _url(topology, service),
        "audience": service.audience,
        "scopes": list(service.scopes),
        "client_id": service.name,
        "calls": [
            {"service": callee, "scopes": list(scopes)}
            for callee, scopes in service.calls.items()
        ],
    }


def _instance(topology: Topology, places: Places, service: str, host: str) -> Json:
    return {
        "host": host,
        "spiffe_id": topology.spiffe_id(service),
        "dns_names": topology.dns_names(service, host),
        "address": topology.hosts[host].address,
        "port": _port(topology, service),
        "certificate": _identity_file(places, service, "certificate.pem"),
        "private_key": _identity_file(places, service, "key.pem"),
    }


def _identity_file(places: Places, service: str, name: str) -> str:
    return places.relative(places.instance(service) / "identity" / "current" / name)


def _token_service(topology: Topology) -> Json:
    return {
        "issuer": topology.issuer,
        "token_endpoint": f"{topology.issuer}/token",
        "jwks_uri": f"{topology.issuer}/jwks",
        "revocations_uri": f"{topology.issuer}/revocations",
        "spiffe_id": topology.spiffe_id(TOKEN_SERVICE),
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


def _port(topology: Topology, service: str) -> int:
    if service == TOKEN_SERVICE:
        return topology.token_port
    return topology.services[service].port


def _url(topology: Topology, service: Service) -> str:
    """Return where callers find a service: on several hosts, by its own name."""
    if len(service.hosts) > 1:
        name = f"{service.name}.{topology.dns_domain}"
    else:
        name = topology.hosts[service.hosts[0]].dns
    return f"https://{name}:{service.port}{service.resource}"


def _own_url(topology: Topology, service: str, host: str) -> Json:
    """Return where one instance is found, by the name of its host."""
    if service == TOKEN_SERVICE:
        return {}
    called = topology.services[service]
    name = topology.hosts[host].dns
    return {"url": f"https://{name}:{called.port}{called.resource}"}


def _origins(topology: Topology, service: str, host: str) -> list[str]:
    """Return the roots by which callers reach an instance, each once."""
    port = _port(topology, service)
    names = topology.dns_names(service, host)
    return [f"https://{name}:{port}" for name in dict.fromkeys(names)]


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())
