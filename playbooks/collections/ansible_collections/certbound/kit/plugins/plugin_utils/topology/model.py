"""A topology as values: what the file says, with its defaults filled in.

Built by `meaning.read_meaning` alone, which has checked that every name used here is a
name declared here; read by the derivations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta

TOKEN_SERVICE = "token-service"  # noqa: S105 -- a name, no password

Calls = Mapping[str, tuple[str, ...]]  # callee's name -> scopes


def seconds(length: timedelta) -> int:
    """Return a length as documents say it: in whole seconds."""
    return int(length.total_seconds())


def in_words(length: timedelta) -> str:
    """Return a length as the file would say it, such as 24h."""
    whole = seconds(length)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole % size == 0 and whole > size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


@dataclass(frozen=True)
class Lifetimes:
    """How long things live, and when a certificate is due for renewal."""

    root: timedelta
    issuing_ca: timedelta
    certificate: timedelta
    renew_before: timedelta
    token: timedelta


@dataclass(frozen=True)
class Host:
    """A machine: where its processes listen, and the name callers use."""

    name: str
    address: str
    dns: str


@dataclass(frozen=True)
class Service:
    """A resource service."""

    name: str
    hosts: tuple[str, ...]
    port: int
    app: str
    resource: str
    scopes: tuple[str, ...]
    calls: Calls
    audience: str
    bearer_clients: tuple[str, ...]  # clients whose unbound tokens it takes
    delegates: Mapping[str, Calls]  # own scope -> what it may do for its holder


@dataclass(frozen=True)
class Client:
    """A registration at the token service beside the services' own."""

    name: str
    service: str
    binding: str  # certificate, dpop, or none: a bearer token
    format: str  # jwt, or opaque: a reference
    lifetime: timedelta
    calls: Calls


@dataclass(frozen=True)
class Topology:
    """Everything a roll-out is derived from."""

    trust_domain: str
    dns_domain: str
    tls_minimum: str
    lifetimes: Lifetimes
    hosts: Mapping[str, Host]
    ca_host: str
    token_hosts: tuple[str, ...]
    token_port: int
    issuer: str
    services: Mapping[str, Service]
    clients: Mapping[str, Client]
    drill: Mapping[str, str] | None

    def spiffe_id(self, service: str) -> str:
        """Return the SPIFFE ID of a service or of the token service."""
        path = service if service == TOKEN_SERVICE else f"service/{service}"
        return f"spiffe://{self.trust_domain}/{path}"

    def dns_names(self, service: str, host: str) -> list[str]:
        """Return the DNS names of one instance: the service's and its host's."""
        return [f"{service}.{self.dns_domain}", self.hosts[host].dns]
