"""The token service's clients: who may ask for which tokens, and how he proves himself.

Called by `processes` for the token service's document. Nothing here is secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model import Calls, Service, Topology, seconds

if TYPE_CHECKING:
    from datetime import timedelta

Json = dict[str, Any]


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
        "lifetime": seconds(lifetime),
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
