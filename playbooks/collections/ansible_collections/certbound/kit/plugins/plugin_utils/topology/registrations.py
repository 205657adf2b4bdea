"""The token service's clients: who may ask for which tokens, and how he proves himself.

Called by `processes` for the token service's document. Nothing here is secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .federated import foreign_clients
from .model import Calls, Client, Gateway, Service, Topology, seconds

if TYPE_CHECKING:
    from datetime import timedelta

Json = dict[str, Any]


def token_clients(topology: Topology) -> Json:
    """Return the token service's clients: one a workload, then the registered ones.

    A service that calls nobody is registered too: it is refused a token for a reason
    of its own (no such audience), and not for being unknown.
    """
    workloads = {
        name: _client(topology, own.calls, topology.lifetimes.token)
        | _by_name(topology, name)
        | _of_audience(topology, own)
        for name, own in topology.workloads.items()
    }
    ours = workloads | {
        name: _client(topology, client.calls, client.lifetime)
        | _authentication(topology, client)
        | {"binding": client.binding, "format": client.format}
        | _exchanges(topology, client)
        for name, client in topology.clients.items()
    }
    return ours | foreign_clients(topology, seconds(topology.lifetimes.token))


def _authentication(topology: Topology, client: Client) -> Json:
    """Return how a client proves itself: by a service's certificate, or as it says."""
    if client.service is not None:
        return _by_name(topology, client.service)
    return dict(client.authentication)


def _by_name(topology: Topology, service: str) -> Json:
    return {"tls_client_auth": {"san_uri": topology.spiffe_id(service)}}


def _client(topology: Topology, calls: Calls, lifetime: timedelta) -> Json:
    return {
        "binding": "certificate",
        "lifetime": seconds(lifetime),
        "audiences": {
            topology.workloads[callee].audience: list(scopes)
            for callee, scopes in calls.items()
        },
    }


def _exchanges(topology: Topology, client: Client) -> Json:
    if not client.exchanges or client.service is None:
        return {}
    return _of_audience(topology, topology.services[client.service])


def _of_audience(topology: Topology, own: Service | Gateway) -> Json:
    """Return what a workload may do with tokens that are sent to it."""
    return {"audience": own.audience, "delegates": _delegates(topology, own)}


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
