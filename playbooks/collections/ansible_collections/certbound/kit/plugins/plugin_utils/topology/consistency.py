"""The contradictions a topology can hold, each refused with its own sentence.

Called by `meaning`: `check_names` on the raw document (so that values can be built at
all), `check` on the values. Order is the order of a reader's questions: hosts, names,
ports, lifetimes here, then who may do what (`permissions`) and the drill (`parts`).
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .federated import check_federation
from .lifetimes import check_lifetimes
from .model import ENROLMENT, TOKEN_SERVICE, Gateway, Proxy, Service, Topology
from .parts import check_parts
from .permissions import check_permissions
from .profile import check_profile
from .publication import check_publication
from .stores import check_stores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .document import Document, KeyPath

_Key = tuple[str, str]  # the part of the file, and the name in it

_KINDS = {"services": "service", "gateways": "gateway", "proxies": "proxy"}


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
        document.check_declared(key, host, kind="host", known=data["hosts"])
    if data["trust_domain"] in data["token_service"].get("trust_bundles", {}):
        raise document.refuse(
            ("token_service", "trust_bundles", data["trust_domain"]),
            "is our own, whose roots every identity has; expected others",
        )
    owners = {
        TOKEN_SERVICE: "the token service's own",
        ENROLMENT: "the CA's front's own",
    }
    for part, kind in _KINDS.items():
        for name in data.get(part, {}):
            if name in owners:
                raise document.refuse(
                    (part, name), f"is {owners[name]} name, expected another"
                )
            owners[name] = f"a {kind}'s"


def _hosts_named(document: Document) -> Iterator[tuple[KeyPath, str]]:
    data = document.data
    yield ("ca", "host"), data["ca"]["host"]
    for index, host in enumerate(data["token_service"]["hosts"]):
        yield ("token_service", "hosts", index), host
    for part in _KINDS:
        for name, workload in data.get(part, {}).items():
            for index, host in enumerate(workload["hosts"]):
                yield (part, name, "hosts", index), host


def check(document: Document, topology: Topology) -> None:
    """Refuse what the values of `topology` contradict each other in."""
    _check_host_names(document, topology)
    _check_issuer(document, topology)
    _check_ports(document, topology)
    check_publication(document, topology)
    _check_audiences(document, topology)
    _check_origins(document, topology)
    check_lifetimes(document, topology)
    _check_monitors(document, topology)
    check_stores(document, topology)
    check_permissions(document, topology)
    check_federation(document, topology)
    check_profile(document, topology)
    check_parts(document, topology)


def _check_host_names(document: Document, topology: Topology) -> None:
    """Refuse a host with another's name: its certificates could stand in for it."""
    token_service = f"{TOKEN_SERVICE}.{topology.dns_domain}"
    owners = {
        token_service: f"service {TOKEN_SERVICE}",
        f"{ENROLMENT}.{topology.dns_domain}": "the CA's front",
    }
    for (part, name), _ in _named(topology):
        owners[f"{name}.{topology.dns_domain}"] = f"{_KINDS[part]} {name}"
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
        *((key, (topology.ca_host,), port) for key, port in _fronts(topology)),
        (("token_service",), topology.token_hosts, topology.token_port),
        *((key, own.hosts, own.port) for key, own in _named(topology)),
    ]:
        for host in hosts:
            place = (topology.hosts[host].address, port)
            if place in taken:
                raise document.refuse(
                    (*key, "port"),
                    f"{port} is the port of {taken[place]} on host {host} already, "
                    "expected another",
                )
            taken[place] = str(key[-1])


def _fronts(topology: Topology) -> Iterator[tuple[KeyPath, int]]:
    """Yield the listeners of the CA's front."""
    if topology.ca_port is not None:
        yield ("ca",), topology.ca_port
    if topology.publication is not None:
        yield ("ca", "publication"), topology.publication.port
    if topology.bundle_port is not None:
        yield ("ca", "bundle"), topology.bundle_port


def _check_audiences(document: Document, topology: Topology) -> None:
    owners: dict[str, str] = {}
    for key, own in _workloads(topology):
        if own.audience in owners:
            raise document.refuse(
                (*key, "audience"),
                f"{own.audience!r} is the audience of "
                f"{owners[own.audience]} already, expected another",
            )
        owners[own.audience] = own.name


def _check_origins(document: Document, topology: Topology) -> None:
    """Refuse a proxy before nothing."""
    for name, proxy in topology.proxies.items():
        document.check_declared(
            ("proxies", name, "service"),
            proxy.service,
            kind="service or gateway",
            known=topology.workloads,
        )


def _workloads(topology: Topology) -> Iterator[tuple[_Key, Service | Gateway]]:
    for service in topology.services.values():
        yield ("services", service.name), service
    for gateway in topology.gateways.values():
        yield ("gateways", gateway.name), gateway


def _named(topology: Topology) -> Iterator[tuple[_Key, Service | Gateway | Proxy]]:
    yield from _workloads(topology)
    for proxy in topology.proxies.values():
        yield ("proxies", proxy.name), proxy


def _check_monitors(document: Document, topology: Topology) -> None:
    """Refuse a reader of metrics who can never show a certificate of ours."""
    known = sorted(topology.workloads)
    for index, name in enumerate(document.data.get("monitors", ())):
        if "/" not in name:
            document.check_declared(
                ("monitors", index), name, kind="service or gateway", known=known
            )
        elif not name.startswith(f"spiffe://{topology.trust_domain}/"):
            raise document.refuse(
                ("monitors", index),
                f"{name!r} is not of {topology.trust_domain}, whose certificates alone "
                "are let in",
            )
