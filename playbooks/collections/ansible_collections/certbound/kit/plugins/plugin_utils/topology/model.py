"""A topology as values: what the file says, with its defaults filled in.

Built by `meaning.read_meaning` alone, which has checked that every name used here is a
name declared here; read by the derivations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from datetime import timedelta

    from .domains import Federated

TOKEN_SERVICE = "token-service"  # noqa: S105 -- a name, no password
ENROLMENT = "enrolment"  # the CA's front

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


def spiffe_id(trust_domain: str, name: str) -> str:
    """Return the SPIFFE ID of a workload, the token service or the CA's front."""
    path = name if name in {TOKEN_SERVICE, ENROLMENT} else f"service/{name}"
    return f"spiffe://{trust_domain}/{path}"


@dataclass(frozen=True)
class Lifetimes:
    """How long things live, and when a certificate is due for renewal."""

    root: timedelta
    issuing_ca: timedelta
    certificate: timedelta
    renew_before: timedelta
    token: timedelta
    grace: timedelta  # in which an expired certificate renews itself


@dataclass(frozen=True)
class Host:
    """A machine: where its processes listen, and the name callers use."""

    name: str
    address: str
    dns: str


@dataclass(frozen=True)
class Tokens:
    """The PKCS#11 tokens in which the CA's keys are made, by their labels."""

    module: str
    issuing: str
    root: str | None  # None: sealed in a file


@dataclass(frozen=True)
class Publication:
    """Where revocations are told, and how soon everybody must know of them."""

    port: int  # on the CA's host
    url: str
    shards: int
    bound: timedelta


@dataclass(frozen=True)
class Store:
    """Where state stands that replicas share, unless each keeps its own."""

    url: str
    password: str | None  # a file with it, on each host

    @property
    def scheme(self) -> str:
        """What it is: sqlite, or Redis by unix, redis or rediss."""
        return urlsplit(self.url).scheme


@dataclass(frozen=True)
class Workload:
    """What others may call, on each of its hosts."""

    name: str
    hosts: tuple[str, ...]
    port: int
    audience: str
    store: Store | None


@dataclass(frozen=True)
class Service(Workload):
    """A resource service."""

    app: str
    resource: str
    scopes: tuple[str, ...]
    calls: Calls
    bearer_clients: tuple[str, ...]  # clients whose unbound tokens it takes
    delegates: Mapping[str, Calls]  # own scope -> what it may do for its holder


@dataclass(frozen=True)
class Route:
    """Where a gateway leads to, and with what."""

    service: str
    scopes: tuple[str, ...]  # what a caller must have
    optional_scopes: tuple[str, ...]  # asked for as well, if he has them

    @property
    def all_scopes(self) -> tuple[str, ...]:
        """What may be asked for at the service."""
        return tuple(dict.fromkeys(self.scopes + self.optional_scopes))


@dataclass(frozen=True)
class Gateway(Workload):
    """A gateway at the edge: it takes tokens for itself, and calls with its own."""

    routes: Mapping[str, Route]  # by the prefix of the path

    @property
    def resource(self) -> str:
        """The path that all of its routes begin with: none."""
        return ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """What callers may have: the scopes of the services behind it."""
        return tuple(
            dict.fromkeys(
                scope for route in self.routes.values() for scope in route.all_scopes
            )
        )

    @property
    def calls(self) -> Calls:
        """The services behind it, with the scopes of all routes to them."""
        calls: dict[str, tuple[str, ...]] = {}
        for route in self.routes.values():
            known = calls.get(route.service, ())
            calls[route.service] = tuple(dict.fromkeys(known + route.all_scopes))
        return calls

    @property
    def delegates(self) -> Mapping[str, Calls]:
        """For a caller: at the services behind it, the scope that he brought."""
        return {
            scope: {
                service: (scope,)
                for service, offered in self.calls.items()
                if scope in offered
            }
            for scope in self.scopes
        }


@dataclass(frozen=True)
class Proxy:
    """A program of others' that ends TLS in front of a service."""

    name: str
    kind: str  # nginx, haproxy or envoy
    hosts: tuple[str, ...]
    port: int
    service: str
    program: str
    user: str | None  # that nginx and HAProxy do their work as

    @property
    def form(self) -> str:
        """How it says who called."""
        return "xfcc" if self.kind == "envoy" else "client-cert"


@dataclass(frozen=True)
class Client:
    """A registration at the token service beside the services' own."""

    name: str
    service: str | None  # whose certificate it shows; None: it is no service of ours
    authentication: Mapping[str, Any]  # then: by the method's name, its parameters
    binding: str  # certificate, dpop, or none: a bearer token
    format: str  # jwt, or opaque: a reference
    lifetime: timedelta
    calls: Calls
    exchanges: bool = False  # whether it may exchange what was sent to its service


@dataclass(frozen=True)
class Topology:
    """Everything a roll-out is derived from."""

    trust_domain: str
    dns_domain: str
    tls_minimum: str
    profile: str  # oauth2, or fapi2
    monitors: tuple[str, ...]  # SPIFFE IDs that may read every process's metrics
    lifetimes: Lifetimes
    hosts: Mapping[str, Host]
    ca_host: str
    ca_port: int | None  # of the CA's front; None: roll-outs alone renew
    ledger: Store | None  # None: a file of the CA's directory
    keys: Tokens | None  # None: sealed in files
    publication: Publication | None  # None: nobody learns of a revocation
    bundle_port: int | None  # of a SPIFFE bundle endpoint; None: there is none
    token_hosts: tuple[str, ...]
    token_port: int
    issuer: str
    token_store: Store | None
    token_options: Mapping[str, Any]  # further members of the token service's document
    trust_bundles: Mapping[str, str]  # foreign trust domain -> file of its roots
    services: Mapping[str, Service]
    gateways: Mapping[str, Gateway]
    proxies: Mapping[str, Proxy]
    clients: Mapping[str, Client]
    federation: Mapping[str, Federated]  # by trust domain
    drill: Mapping[str, Any] | None

    @property
    def workloads(self) -> Mapping[str, Service | Gateway]:
        """Everything that a token may be for."""
        return {**self.services, **self.gateways}

    def spiffe_id(self, name: str) -> str:
        """Return the SPIFFE ID of a workload or of the token service."""
        return spiffe_id(self.trust_domain, name)

    def dns_names(self, name: str, host: str) -> list[str]:
        """Return the DNS names of one instance: its own and its host's."""
        return [f"{name}.{self.dns_domain}", self.hosts[host].dns]
