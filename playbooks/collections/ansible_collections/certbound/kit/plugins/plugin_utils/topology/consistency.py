"""The contradictions a topology can hold, each refused with its own sentence.

Called by `meaning`: `check_names` on the raw document (so that values can be built at
all), `check` on the values. Order is the order of a reader's questions: hosts, names,
ports, calls, lifetimes, clients, drill.
"""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .model import TOKEN_SERVICE, Calls, Service, Topology, in_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .document import Document, KeyPath

BACK_DATING = timedelta(minutes=5)  # `pki` dates a certificate back, within its life
_SHORTEST = 2 * BACK_DATING  # what `pki` takes as a life
_LONGEST_TOKEN = timedelta(hours=1)  # what the token service takes in a configuration


def check_names(document: Document) -> None:
    """Refuse addresses that are none, and names of hosts that are not declared."""
    data = document.data
    for name, host in data["hosts"].items():
        try:
            ip_address(host["address"])
        except ValueError:
            raise document.refuse(
                ("hosts", name, "address"),
                f"got {host['address']!r}, expected an IP address such as 127.0.0.1",
            ) from None
    for key, host in _hosts_named(document):
        _declared(document, key, host, kind="host", known=data["hosts"])
    if TOKEN_SERVICE in data["services"]:
        raise document.refuse(
            ("services", TOKEN_SERVICE),
            "is the token service's own name, expected another",
        )


def _hosts_named(document: Document) -> Iterator[tuple[KeyPath, str]]:
    data = document.data
    yield ("ca", "host"), data["ca"]["host"]
    for index, host in enumerate(data["token_service"]["hosts"]):
        yield ("token_service", "hosts", index), host
    for name, service in data["services"].items():
        for index, host in enumerate(service["hosts"]):
            yield ("services", name, "hosts", index), host


def _declared(
    document: Document, key: KeyPath, name: str, *, kind: str, known: Iterable[str]
) -> None:
    if name not in known:
        raise document.refuse(
            key,
            f"{name!r} is no {kind} of this topology, "
            f"expected one of {', '.join(sorted(known))}",
        )


def check(document: Document, topology: Topology) -> None:
    """Refuse what the values of `topology` contradict each other in."""
    _check_host_names(document, topology)
    _check_issuer(document, topology)
    _check_ports(document, topology)
    _check_audiences(document, topology)
    for name, service in topology.services.items():
        _check_calls(document, topology, ("services", name), name, service.calls)
        _check_bearer_clients(document, topology, service)
        _check_delegates(document, service)
    _check_lifetimes(document, topology)
    _check_clients(document, topology)
    _check_drill(document, topology)


def _check_host_names(document: Document, topology: Topology) -> None:
    """Refuse a host with another's name: its certificates could stand in for it."""
    owners = {
        f"{service}.{topology.dns_domain}": f"service {service}"
        for service in (TOKEN_SERVICE, *topology.services)
    }
    for name, host in topology.hosts.items():
        if host.dns in owners:
            raise document.refuse(
                ("hosts", name, "dns"),
                f"{host.dns!r} is the name of {owners[host.dns]}, "
                "expected a name of the host's own",
            )
        owners[host.dns] = f"host {name}"


def _check_issuer(document: Document, topology: Topology) -> None:
    url = urlsplit(topology.issuer)
    names = [
        name
        for host in topology.token_hosts
        for name in topology.dns_names(TOKEN_SERVICE, host)
    ]
    if url.hostname not in names or (url.port or 443) != topology.token_port:
        expected = f"https://{names[-1]}:{topology.token_port}"
        raise document.refuse(
            ("token_service", "issuer"),
            f"got {topology.issuer!r}, expected a name of the token service's "
            f"certificate and its port, such as {expected}",
        )


def _check_ports(document: Document, topology: Topology) -> None:
    taken: dict[tuple[str, int], str] = {}
    for key, hosts, port in [
        (("token_service",), topology.token_hosts, topology.token_port),
        *((("services", s.name), s.hosts, s.port) for s in topology.services.values()),
    ]:
        for host in hosts:
            place = (topology.hosts[host].address, port)
            if place in taken:
                raise document.refuse(
                    (*key, "port"),
                    f"{port} is the port of {taken[place]} on host {host} already, "
                    "expected another",
                )
            taken[place] = key[-1]


def _check_audiences(document: Document, topology: Topology) -> None:
    owners: dict[str, str] = {}
    for name, service in topology.services.items():
        if service.audience in owners:
            raise document.refuse(
                ("services", name, "audience"),
                f"{service.audience!r} is the audience of "
                f"{owners[service.audience]} already, expected another",
            )
        owners[service.audience] = name


def _check_calls(
    document: Document, topology: Topology, key: KeyPath, caller: str, calls: Calls
) -> None:
    for callee, scopes in calls.items():
        here = (*key, "calls", callee)
        others = set(topology.services) - {caller}
        _declared(document, here, callee, kind="other service", known=others)
        offered = topology.services[callee].scopes
        for index, scope in enumerate(scopes):
            if scope not in offered:
                raise document.refuse(
                    (*here, index),
                    f"{scope!r} is no scope that {callee} offers, "
                    f"expected one of {', '.join(offered)}",
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
        if name in topology.services:
            raise document.refuse(
                ("clients", name),
                "is a service's name, which is a client by itself; expected another",
            )
        key = ("clients", name, "service")
        _declared(
            document, key, client.service, kind="service", known=topology.services
        )
        _check_calls(
            document, topology, ("clients", name), client.service, client.calls
        )
        if client.lifetime > _LONGEST_TOKEN:
            raise document.refuse(
                ("clients", name, "lifetime"), "expected at most 1h for a token"
            )


def _check_lifetimes(document: Document, topology: Topology) -> None:
    lives = topology.lifetimes
    if lives.certificate < _SHORTEST:
        raise document.refuse(
            ("lifetimes", "certificate"),
            f"got {in_words(lives.certificate)}, "
            f"expected {in_words(_SHORTEST)} or more",
        )
    for name, limit, above in (
        ("issuing_ca", lives.root, "root"),
        ("certificate", lives.issuing_ca, "issuing CA"),
        ("token", min(_LONGEST_TOKEN, lives.certificate), "certificate, or 1h,"),
    ):
        if getattr(lives, name) > limit:
            raise document.refuse(
                ("lifetimes", name),
                f"{in_words(getattr(lives, name))} is longer than the {above} lives, "
                f"expected at most {in_words(limit)}",
            )
    if lives.renew_before + BACK_DATING >= lives.certificate:
        raise document.refuse(
            ("lifetimes", "renew_before"),
            f"{in_words(lives.renew_before)} and {in_words(BACK_DATING)} of "
            "back-dating leave nothing of a certificate's "
            f"{in_words(lives.certificate)}, expected less",
        )


def _check_drill(document: Document, topology: Topology) -> None:
    drill = topology.drill
    if drill is None:
        return
    for part in ("victim", "target", "thief"):
        _declared(
            document,
            ("drill", part),
            drill[part],
            kind="service",
            known=topology.services,
        )
    victim, target = drill["victim"], drill["target"]
    if target not in topology.services[victim].calls:
        raise document.refuse(
            ("drill", "target"), f"expected a service that {victim} calls"
        )
    if drill["thief"] in {victim, target}:
        raise document.refuse(
            ("drill", "thief"), "expected a service besides victim and target"
        )
    for part, binding in (
        ("bearer_client", "none"),
        ("bearer_brief_client", "none"),
        ("brief_client", "certificate"),
    ):
        name = drill[part]
        _declared(
            document, ("drill", part), name, kind="client", known=topology.clients
        )
        client = topology.clients[name]
        if (client.service, client.binding) != (victim, binding) or (
            target not in client.calls
        ):
            raise document.refuse(
                ("drill", part),
                f"expected a client of {victim} with binding {binding} "
                f"that calls {target}",
            )
