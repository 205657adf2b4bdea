"""Read a well-formed topology into values, refusing what contradicts itself.

The schema has said that every key has the right form (`shape`). Here names must be
declared, callers may only ask for what callees offer, two processes cannot share a
port, and nothing may outlive what it depends on. One check a function; the first
mistake found is the one reported.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from . import consistency
from .federated import read_federation
from .model import (
    TOKEN_SERVICE,
    Client,
    Gateway,
    Host,
    Lifetimes,
    Proxy,
    Publication,
    Route,
    Service,
    Store,
    Tokens,
    Topology,
    seconds,
    spiffe_id,
)

if TYPE_CHECKING:
    from .document import Document

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_PROGRAMS = {  # where Debian has them; Envoy comes as one file
    "nginx": "/usr/sbin/nginx",
    "haproxy": "/usr/sbin/haproxy",
    "envoy": "/usr/local/bin/envoy",
}
_DEFAULT_LIFETIMES = {
    "root": "3650d",
    "issuing_ca": "180d",
    "certificate": "24h",
    "renew_before": "8h",
    "token": "5m",
    "grace": "0s",
}


def read_meaning(document: Document) -> Topology:
    """Return what `document`, whose form has been checked, says.

    Raises:
        TopologyError: one part contradicts another.
    """
    consistency.check_names(document)
    topology = _topology(document.data)
    consistency.check(document, topology)
    return topology


def duration(text: str) -> timedelta:
    """Return the length of `90s`, `5m`, `24h` or `180d`."""
    return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])


def _topology(data: dict[str, Any]) -> Topology:
    trust_domain = data["trust_domain"]
    dns_domain = data.get("dns_domain", trust_domain)
    lifetimes = _lifetimes(data.get("lifetimes", {}))
    hosts = {name: _host(name, host) for name, host in data["hosts"].items()}
    token_service = data["token_service"]
    return Topology(
        trust_domain=trust_domain,
        dns_domain=dns_domain,
        tls_minimum=data.get("tls_minimum", "1.3"),
        profile=data.get("profile", "oauth2"),
        monitors=tuple(
            name if "/" in name else spiffe_id(trust_domain, name)
            for name in data.get("monitors", ())
        ),
        lifetimes=lifetimes,
        hosts=hosts,
        ca_host=data["ca"]["host"],
        ca_port=data["ca"].get("port"),
        ledger=_ledger(data["ca"]),
        keys=_keys(data["ca"].get("keys")),
        publication=_publication(data["ca"], hosts),
        bundle_port=data["ca"].get("bundle", {}).get("port"),
        token_hosts=tuple(token_service["hosts"]),
        token_port=token_service["port"],
        token_store=_store(token_service),
        token_options=_token_options(token_service),
        trust_bundles=token_service.get("trust_bundles", {}),
        issuer=token_service.get(
            "issuer", _default_issuer(token_service, hosts, dns_domain)
        ),
        services={
            name: _service(name, service, dns_domain)
            for name, service in data["services"].items()
        },
        gateways={
            name: _gateway(name, gateway, dns_domain)
            for name, gateway in data.get("gateways", {}).items()
        },
        proxies={
            name: _proxy(name, proxy) for name, proxy in data.get("proxies", {}).items()
        },
        clients={
            name: _client(name, client, lifetimes)
            for name, client in data.get("clients", {}).items()
        },
        federation=read_federation(data),
        drill=data.get("drill"),
    )


def _ledger(ca: dict[str, Any]) -> Store | None:
    if "ledger" not in ca:
        return None
    return Store(url=ca["ledger"], password=ca.get("ledger_password"))


def _keys(keys: dict[str, str] | None) -> Tokens | None:
    if keys is None:
        return None
    return Tokens(module=keys["module"], issuing=keys["issuing"], root=keys.get("root"))


def _publication(ca: dict[str, Any], hosts: dict[str, Host]) -> Publication | None:
    if "publication" not in ca:
        return None
    told = ca["publication"]
    return Publication(
        port=told["port"],
        url=told.get("url", f"http://{hosts[ca['host']].dns}:{told['port']}/pki"),
        shards=told.get("shards", 1),
        bound=duration(told.get("bound", "5s")),
    )


def _default_issuer(
    token_service: dict[str, Any], hosts: dict[str, Host], dns_domain: str
) -> str:
    """Return the URL of the token service: of several, by the name they share."""
    first, *others = token_service["hosts"]
    name = f"{TOKEN_SERVICE}.{dns_domain}" if others else hosts[first].dns
    return f"https://{name}:{token_service['port']}"


def _token_options(token_service: dict[str, Any]) -> dict[str, Any]:
    """Return what the token service's document takes as it is, or in seconds."""
    options = {
        name: token_service[name]
        for name in ("mtls_base", "rates")
        if name in token_service
    }
    return options | {
        name: seconds(duration(token_service[name]))
        for name in ("key_rotation", "key_lead")
        if name in token_service
    }


def _store(part: dict[str, Any]) -> Store | None:
    if "store" not in part:
        return None
    return Store(url=part["store"], password=part.get("store_password"))


def _lifetimes(given: dict[str, str]) -> Lifetimes:
    texts = _DEFAULT_LIFETIMES | given
    return Lifetimes(**{name: duration(text) for name, text in texts.items()})


def _host(name: str, host: dict[str, str]) -> Host:
    return Host(name=name, address=host["address"], dns=host.get("dns", name))


def _service(name: str, service: dict[str, Any], dns_domain: str) -> Service:
    return Service(
        name=name,
        hosts=tuple(service["hosts"]),
        port=service["port"],
        app=service["app"],
        resource=service["resource"],
        scopes=tuple(service["scopes"]),
        calls=_calls(service.get("calls", {})),
        audience=service.get("audience", f"https://{name}.{dns_domain}"),
        store=_store(service),
        bearer_clients=tuple(service.get("bearer_clients", ())),
        delegates={
            scope: _calls(calls)
            for scope, calls in service.get("delegates", {}).items()
        },
    )


def _gateway(name: str, gateway: dict[str, Any], dns_domain: str) -> Gateway:
    return Gateway(
        name=name,
        hosts=tuple(gateway["hosts"]),
        port=gateway["port"],
        audience=gateway.get("audience", f"https://{name}.{dns_domain}"),
        store=_store(gateway),
        routes={
            prefix: Route(
                service=route["service"],
                scopes=tuple(route["scopes"]),
                optional_scopes=tuple(route.get("optional_scopes", ())),
            )
            for prefix, route in gateway["routes"].items()
        },
    )


def _proxy(name: str, proxy: dict[str, Any]) -> Proxy:
    return Proxy(
        name=name,
        kind=proxy["kind"],
        hosts=tuple(proxy["hosts"]),
        port=proxy["port"],
        service=proxy["service"],
        program=proxy.get("program", _PROGRAMS[proxy["kind"]]),
        user=proxy.get("user"),
    )


def _client(name: str, client: dict[str, Any], lifetimes: Lifetimes) -> Client:
    lifetime = client.get("lifetime")
    return Client(
        name=name,
        service=client.get("service"),
        authentication=client.get("authentication", {}),
        binding=client.get("binding", "certificate"),
        format=client.get("format", "jwt"),
        lifetime=duration(lifetime) if lifetime else lifetimes.token,
        calls=_calls(client["calls"]),
        exchanges=client.get("exchanges", False),
    )


def _calls(calls: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {callee: tuple(scopes) for callee, scopes in calls.items()}
