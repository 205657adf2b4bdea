"""Other trust domains: who of them may call ours, and whom of them ours may call.

Read, checked and derived here, apart from the topology's own services: nothing that
holds between two of those may hold for one of another domain by accident. Plain values
out, ready for JSON; nothing here is secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .domains import Federated, ForeignService

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .document import Document, KeyPath
    from .domains import Calls
    from .model import Topology

Json = dict[str, Any]
_SPIFFE = "spiffe://"
_LEAST_BOUND, _MOST_BOUND = 4, 3600  # seconds, as `services.revocation_config` has them


def read_federation(data: Mapping[str, Any]) -> dict[str, Federated]:
    """Return the other trust domains of a well-formed topology."""
    return {
        domain: Federated(
            trust_domain=domain,
            bundle=said["bundle"],
            endpoint=_with_name(said.get("endpoint"), domain, "enrolment"),
            revocation=_revocation(said.get("revocation")),
            token_service=_with_name(
                said.get("token_service"), domain, "token-service"
            ),
            callers={
                name: _calls(calls) for name, calls in said.get("callers", {}).items()
            },
            services={
                name: ForeignService(**service)
                for name, service in said.get("services", {}).items()
            },
            calls={
                name: _calls(calls) for name, calls in said.get("calls", {}).items()
            },
        )
        for domain, said in data.get("federation", {}).items()
    }


def check_federation(document: Document, topology: Topology) -> None:
    """Refuse what names somebody of the wrong domain, or nobody at all.

    Raises:
        TopologyError: the sentence says where, and what was expected.
    """
    if topology.bundle_port is not None and topology.ca_port is None:
        raise document.refuse(
            ("ca", "bundle"), "is the CA's front's, expected ca.port beside it"
        )
    seen: dict[str, str] = {}
    for domain, other in topology.federation.items():
        key = ("federation", domain)
        if domain == topology.trust_domain or domain in topology.trust_bundles:
            whose = "our own" if domain == topology.trust_domain else "a client's"
            raise document.refuse(
                key, f"is {whose} trust domain already, expected another"
            )
        bound = other.revocation["bound"] if other.revocation else _LEAST_BOUND
        if not _LEAST_BOUND <= bound <= _MOST_BOUND:
            raise document.refuse(
                (*key, "revocation", "bound"),
                f"expected {_LEAST_BOUND}s to {_MOST_BOUND // 3600}h: the less is "
                "used up by a cache and the pause between two questions",
            )
        _check_names(document, key, other)
        _check_callers(document, topology, key, other)
        _check_calls(document, topology, key, other)
        for name in other.services:
            taken = seen.get(name) or (name if name in topology.workloads else None)
            if taken is not None:
                raise document.refuse(
                    (*key, "services", name),
                    "is the name of another service already, expected another",
                )
            seen[name] = domain


def _check_names(document: Document, key: KeyPath, other: Federated) -> None:
    """Refuse SPIFFE IDs of another domain than the one they stand under."""
    named: list[tuple[KeyPath, str]] = [
        ((*key, "callers", name), name) for name in other.callers
    ]
    for part in ("endpoint", "token_service"):
        said = getattr(other, part)
        if said is not None:
            named.append(((*key, part, "spiffe_id"), said["spiffe_id"]))
    named += [
        ((*key, "services", name, "spiffe_id"), service.spiffe_id)
        for name, service in other.services.items()
    ]
    for where, name in named:
        if not name.startswith(f"{_SPIFFE}{other.trust_domain}/"):
            raise document.refuse(where, f"expected one of {other.trust_domain}")


def _check_callers(
    document: Document, topology: Topology, key: KeyPath, other: Federated
) -> None:
    for caller, calls in other.callers.items():
        for service, scopes in calls.items():
            here = (*key, "callers", caller, service)
            document.check_declared(
                here, service, kind="service", known=topology.services
            )
            _check_scopes(document, here, scopes, topology.services[service].scopes)


def _check_calls(
    document: Document, topology: Topology, key: KeyPath, other: Federated
) -> None:
    for caller, calls in other.calls.items():
        here = (*key, "calls", caller)
        document.check_declared(here, caller, kind="service", known=topology.services)
        for service in calls:
            document.check_declared(
                (*here, service),
                service,
                kind="service of federation",
                known=other.services,
            )
    if other.calls and other.token_service is None:
        raise document.refuse(
            (*key, "token_service"),
            "missing, expected where its tokens come from: calls need them",
        )


def _check_scopes(
    document: Document, key: KeyPath, scopes: tuple[str, ...], offered: tuple[str, ...]
) -> None:
    for index, scope in enumerate(scopes):
        if scope not in offered:
            raise document.refuse(
                (*key, index),
                f"{scope!r} is no scope that it offers, "
                f"expected one of {', '.join(offered)}",
            )


def federation_of(topology: Topology, service: str) -> Json:
    """Return the domains that concern a service, as a member; or nothing."""
    concerned = {
        domain: _domain(other) | {"callers": other.callers_of(service)}
        for domain, other in topology.federation.items()
        if other.concerns(service)
    }
    return {"federation": concerned} if concerned else {}


def federation_of_clients(topology: Topology) -> Json:
    """Return the domains whose callers are clients, as a member; or nothing."""
    concerned = {
        domain: _domain(other)
        for domain, other in topology.federation.items()
        if other.callers
    }
    return {"federation": concerned} if concerned else {}


def bundle_endpoint(topology: Topology) -> Json:
    """Return where the CA's front tells our own bundle, as a member; or nothing."""
    port = topology.bundle_port
    return {} if port is None else {"bundle_port": port}


def foreign_clients(topology: Topology, lifetime: int) -> Json:
    """Return the registrations of the callers of other domains.

    Each is known by the SPIFFE ID in a certificate of its own domain (RFC 8705, section
    2.1), and gets tokens for what it may call here, for so many seconds.
    """
    return {
        name: {
            "tls_client_auth": {"san_uri": name, "trust_domain": domain},
            "binding": "certificate",
            "lifetime": lifetime,
            "audiences": {
                topology.services[service].audience: list(scopes)
                for service, scopes in calls.items()
            },
        }
        for domain, other in topology.federation.items()
        for name, calls in other.callers.items()
    }


def foreign_callees(topology: Topology, service: str) -> Json:
    """Return whom a service of ours calls in other domains, as its document has it."""
    return {
        name: {
            "url": other.services[name].url,
            "spiffe_id": other.services[name].spiffe_id,
            "audience": other.services[name].audience,
            "scopes": list(scopes),
            "token_service": _address(other.token_service),
        }
        for other in topology.federation.values()
        if other.token_service is not None
        for name, scopes in other.calls.get(service, {}).items()
    }


def _domain(other: Federated) -> Json:
    said = {
        name: dict(value)
        for name in ("endpoint", "revocation")
        if (value := getattr(other, name)) is not None
    }
    return {"bundle": other.bundle, **said}


def _address(said: Mapping[str, str]) -> Json:
    return {
        "issuer": said["issuer"],
        "token_endpoint": f"{said['issuer']}/token",
        "jwks_uri": f"{said['issuer']}/jwks",
        "spiffe_id": said["spiffe_id"],
    }


def _with_name(
    said: Mapping[str, str] | None, domain: str, path: str
) -> Mapping[str, str] | None:
    return said and {"spiffe_id": f"{_SPIFFE}{domain}/{path}", **said}


def _revocation(said: Mapping[str, str] | None) -> Mapping[str, Any] | None:
    """Return where revocations are told, and how old what is known may be, in s."""
    if said is None:
        return None
    bound = said.get("bound", "5s")
    return {
        "url": said["url"],
        "bound": int(bound[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[bound[-1]],
    }


def _calls(calls: Mapping[str, list[str]]) -> Calls:
    return {callee: tuple(scopes) for callee, scopes in calls.items()}
