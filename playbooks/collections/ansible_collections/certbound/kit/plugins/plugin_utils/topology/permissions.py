"""Who may do what: calls, routes, delegations and registrations that fit each other.

Called by `consistency`. Nobody may ask for what the other side does not offer, and no
token is issued that its receiver takes from nobody. One sentence for each mistake.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .authentication import check_authentication
from .model import Calls, Client, Gateway, Service, Topology

if TYPE_CHECKING:
    from .document import Document, KeyPath

LONGEST_TOKEN = timedelta(hours=1)  # what the token service takes in a configuration


def check_permissions(document: Document, topology: Topology) -> None:
    """Refuse what somebody may do by one part of `topology` and cannot by another.

    Raises:
        TopologyError: the sentence says where, and what was expected.
    """
    for gateway in topology.gateways.values():
        _check_routes(document, topology, gateway)
    for name, service in topology.services.items():
        _check_calls(document, topology, ("services", name), name, service.calls)
        _check_bearer_clients(document, topology, service)
        _check_delegates(document, service)
    _check_clients(document, topology)


def _check_calls(
    document: Document,
    topology: Topology,
    key: KeyPath,
    caller: str | None,
    calls: Calls,
) -> None:
    for callee, scopes in calls.items():
        here = (*key, "calls", callee)
        others = set(topology.workloads) - {caller}
        kind = "other service or gateway"
        document.check_declared(here, callee, kind=kind, known=others)
        called = topology.workloads[callee]
        _check_scopes(document, here, called, scopes)
        if isinstance(called, Gateway):
            _check_opens(document, here, called, scopes)


def _check_scopes(
    document: Document,
    key: KeyPath,
    called: Service | Gateway,
    scopes: tuple[str, ...],
) -> None:
    for index, scope in enumerate(scopes):
        if scope not in called.scopes:
            raise document.refuse(
                (*key, index),
                f"{scope!r} is no scope that {called.name} offers, "
                f"expected one of {', '.join(called.scopes)}",
            )


def _check_opens(
    document: Document, key: KeyPath, gateway: Gateway, scopes: tuple[str, ...]
) -> None:
    """Refuse a call that every route of the gateway's would turn away."""
    needed = [set(route.scopes) for route in gateway.routes.values()]
    if not any(route <= set(scopes) for route in needed):
        raise document.refuse(
            key, f"opens no route of {gateway.name}, expected all scopes of one"
        )


def _check_routes(document: Document, topology: Topology, gateway: Gateway) -> None:
    for prefix, route in gateway.routes.items():
        key = ("gateways", gateway.name, "routes", prefix)
        document.check_declared(
            (*key, "service"), route.service, kind="service", known=topology.services
        )
        service = topology.services[route.service]
        _check_scopes(document, (*key, "scopes"), service, route.scopes)
        _check_scopes(
            document, (*key, "optional_scopes"), service, route.optional_scopes
        )


def _check_bearer_clients(
    document: Document, topology: Topology, service: Service
) -> None:
    """Refuse a name that gets no bearer tokens for this service."""
    usable = {
        name
        for name, client in topology.clients.items()
        if client.binding == "none" and service.name in client.calls
    }
    for index, name in enumerate(service.bearer_clients):
        if name not in usable:
            raise document.refuse(
                ("services", service.name, "bearer_clients", index),
                f"{name!r} is no client with binding none that calls {service.name}",
            )


def _check_delegates(document: Document, service: Service) -> None:
    """Refuse a delegation that the service's own scopes and calls do not have."""
    for scope, calls in service.delegates.items():
        key = ("services", service.name, "delegates", scope)
        if scope not in service.scopes:
            raise document.refuse(
                key, f"expected one of its own scopes: {', '.join(service.scopes)}"
            )
        for callee, scopes in calls.items():
            own = service.calls.get(callee, ())
            if not set(scopes) <= set(own):
                raise document.refuse(
                    (*key, callee),
                    f"expected some of what {service.name} calls {callee} with: "
                    f"{', '.join(own) or 'nothing'}",
                )


def _check_clients(document: Document, topology: Topology) -> None:
    for name, client in topology.clients.items():
        if name in topology.workloads:
            kind = "service" if name in topology.services else "gateway"
            raise document.refuse(
                ("clients", name),
                f"is a {kind}'s name, which is a client by itself; expected another",
            )
        check_authentication(document, topology, client)
        key = ("clients", name)
        _check_calls(document, topology, key, client.service, client.calls)
        if client.lifetime > LONGEST_TOKEN:
            raise document.refuse(
                ("clients", name, "lifetime"), "expected at most 1h for a token"
            )
        _check_tokens(document, topology, client)


def _check_tokens(document: Document, topology: Topology, client: Client) -> None:
    """Refuse tokens of a kind that the one they are for takes from nobody."""
    for callee in client.calls:
        gateway = callee in topology.gateways
        if gateway and client.binding == "none":
            raise document.refuse(
                ("clients", client.name, "binding"),
                f"{callee} is a gateway and takes no bearer tokens, "
                "expected certificate or dpop",
            )
        if not gateway and client.format == "opaque":
            raise document.refuse(
                ("clients", client.name, "format"),
                f"{callee} is a service, which reads no opaque token; "
                "expected jwt, or calls of gateways alone",
            )
