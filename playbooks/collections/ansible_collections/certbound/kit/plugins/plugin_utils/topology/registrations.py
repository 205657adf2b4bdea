"""The token service's clients: who may ask for which tokens, and how he proves himself.

Called by `processes` for the token service's document. Nothing here is secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model import Calls, Gateway, Service, Topology, seconds

if TYPE_CHECKING:
    from datetime import timedelta

Json = dict[str, Any]


def token_clients(topology: Topology) -> Json:
    """Return the token service's clients: one a workload, then the registered ones.

    A service that calls nobody is registered too: it is refused a token for a reason
    of its own (no such audience), and not for being unknown.
    """
    workloads = {
        name: _client(
            topology, name, own.calls, topology.lifetimes.token, "certificate"
        )
        | {"audience": own.audience, "delegates": _delegates(topology, own)}
        for name, own in topology.workloads.items()
    }
    return workloads | {
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
            topology.workloads[callee].audience: list(scopes)
            for callee, scopes in calls.items()
        },
    }


def _delegates(topology: Topology, own: Service | Gateway) -> Json:
    """Return what a workload may get elsewhere for a caller, by the caller's scope.

    Unless the topology narrows it, whoever may call a service lets it do in his name
    what it may do in its own.
    """
    return {
        scope: {
            topology.workloads[callee].audience: list(scopes)
            for callee, scopes in own.delegates.get(scope, own.calls).items()
        }
        for scope in own.scopes
    }
