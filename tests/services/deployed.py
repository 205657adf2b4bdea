"""The sample topology as real processes, without Ansible: for the probe and the drill.

`deployed` writes identities (from a `Mesh`), configuration documents and a deployment
description into a directory, starts `python -m services run` for each, and stops them.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.deployment import Deployment, read_deployment
from tests.services.documents import service_document, token_service_document
from tests.services.mesh import Instance, Mesh

CALLS = {"storefront": ["orders"], "orders": ["stock"], "stock": []}
GATEWAY = "edge"  # in front of orders
_READY = 60.0  # seconds; the machine may be busy


@dataclass(frozen=True)
class Running:
    """What was started: its description, and each process's log."""

    deployment: Deployment
    path: Path
    logs: Mapping[str, Path]


@contextmanager
def deployed(mesh: Mesh, directory: Path) -> Iterator[Running]:
    """Run token service, three services and a gateway while the context lasts."""
    names = ["token-service", *CALLS, GATEWAY]
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    instances = {name: mesh.instance(name) for name in names}
    issuer = f"https://localhost:{ports['token-service']}"
    documents = {
        name: _service(name, ports, instances[name], issuer, directory)
        for name in CALLS
    } | {
        "token-service": _token_service(
            ports, instances["token-service"], issuer, directory
        ),
        GATEWAY: _gateway(ports, instances[GATEWAY], issuer, directory),
    }
    description = _description(ports, instances, issuer)
    path = directory / "deployment.json"
    path.write_text(json.dumps(description))
    logs = {name: directory / f"{name}.log" for name in names}
    started: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, document in documents.items():
            started[name] = _start(directory / f"{name}.json", document, logs[name])
        for name, process in started.items():
            _await_port(ports[name], process, logs[name])
        yield Running(read_deployment(path, directory), path, logs)
    finally:
        for process in started.values():
            process.terminate()
        codes = {name: process.wait(15) for name, process in started.items()}
    assert set(codes.values()) == {0}, codes


def _start(
    config: Path, document: Mapping[str, Any], log: Path
) -> subprocess.Popen[bytes]:
    config.write_text(json.dumps(document))
    with log.open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "services", "run", str(config)], stderr=stderr
        )


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"no process on port {port}: {log.read_text()}")


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _audience(name: str) -> str:
    return f"https://{name}.shop.internal"


def _service(
    name: str,
    ports: Mapping[str, int],
    instance: Instance,
    issuer: str,
    directory: Path,
) -> dict[str, Any]:
    return service_document(
        service=name,
        instance=f"{name}@localhost",
        spiffe_id=str(instance.spiffe_id),
        port=ports[name],
        identity=str(instance.current),
        app=f"services.samples.{name}:create_app",
        client_id=name,
        token_service=_address(issuer),
        state=str(directory / f"{name}-state"),
        guard={
            "audience": _audience(name),
            "resource": f"/{name}",
            "scopes": [f"{name}.read"],
            "bearer_clients": [],
            "origins": [f"https://localhost:{ports[name]}"],
        },
        calls={callee: _callee(callee, ports) for callee in CALLS[name]},
        trusted_hops=[
            {
                "form": "client-cert",
                "spiffe_id": f"spiffe://shop.internal/service/{GATEWAY}",
                "binding": "hop",
            }
        ],
    )


def _gateway(
    ports: Mapping[str, int], instance: Instance, issuer: str, directory: Path
) -> dict[str, Any]:
    return {
        "kind": "gateway",
        "service": GATEWAY,
        "instance": f"{GATEWAY}@localhost",
        "trust_domain": "shop.internal",
        "spiffe_id": str(instance.spiffe_id),
        "address": "127.0.0.1",
        "port": ports[GATEWAY],
        "identity": str(instance.current),
        "state": str(directory / f"{GATEWAY}-state"),
        "client_id": GATEWAY,
        "audience": _audience(GATEWAY),
        "token_service": _address(issuer)
        | {"introspection_endpoint": f"{issuer}/introspect"},
        "routes": {"/orders": _callee("orders", ports)},
        "origins": [f"https://localhost:{ports[GATEWAY]}"],
    }


def _address(issuer: str) -> dict[str, str]:
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks",
        "revocations_uri": f"{issuer}/revocations",
        "spiffe_id": "spiffe://shop.internal/token-service",
    }


def _callee(name: str, ports: Mapping[str, int]) -> dict[str, Any]:
    return {
        "url": f"https://localhost:{ports[name]}/{name}",
        "spiffe_id": f"spiffe://shop.internal/service/{name}",
        "audience": _audience(name),
        "scopes": [f"{name}.read"],
    }


def _token_service(
    ports: Mapping[str, int], instance: Instance, issuer: str, directory: Path
) -> dict[str, Any]:
    def client(service: str, **changes: Any) -> dict[str, Any]:
        return {
            "tls_client_auth": {"san_uri": f"spiffe://shop.internal/service/{service}"},
            "binding": "certificate",
            "lifetime": 300,
            "audiences": {
                _audience(callee): [f"{callee}.read"]
                for callee in CALLS.get(service, [])
            },
            "audience": _audience(service),
            "delegates": {
                f"{service}.read": {
                    _audience(callee): [f"{callee}.read"]
                    for callee in CALLS.get(service, [])
                }
            },
            **changes,
        }

    def phantom(**changes: Any) -> dict[str, Any]:
        audiences = {_audience(GATEWAY): ["orders.read"]}
        return client("storefront", format="opaque", audiences=audiences, **changes)

    return token_service_document(
        port=ports["token-service"],
        identity=str(instance.current),
        issuer=issuer,
        state=str(directory / "state"),
        clients={
            **{name: client(name) for name in CALLS},
            "drill-bearer": client("storefront", binding="none"),
            "drill-bearer-brief": client("storefront", binding="none", lifetime=1),
            "drill-brief": client("storefront", lifetime=1),
            GATEWAY: client(
                GATEWAY,
                audiences={_audience("orders"): ["orders.read"]},
                delegates={"orders.read": {_audience("orders"): ["orders.read"]}},
            ),
            "drill-phantom": phantom(),
            "drill-phantom-brief": phantom(lifetime=1),
            "drill-dpop": client("storefront", binding="dpop"),
            "drill-dpop-brief": client("storefront", binding="dpop", lifetime=1),
            "drill-onward-brief": client("orders", lifetime=1),
        },
    )


def _description(
    ports: Mapping[str, int], instances: Mapping[str, Instance], issuer: str
) -> dict[str, Any]:
    def party(name: str) -> dict[str, Any]:
        return {
            "host": "localhost",
            "spiffe_id": str(instances[name].spiffe_id),
            "dns_names": [f"{name}.shop.internal", "localhost"],
            "address": "127.0.0.1",
            "port": ports[name],
            "certificate": str(instances[name].current / "certificate.pem"),
            "private_key": str(instances[name].current / "key.pem"),
        }

    return {
        "issuer": issuer,
        "metadata_url": f"{issuer}/.well-known/oauth-authorization-server",
        "trust_bundle": str(instances["token-service"].current / "bundle.pem"),
        "trust_domain": "shop.internal",
        "token_service": party("token-service")
        | {"token_endpoint": f"{issuer}/token", "jwks_uri": f"{issuer}/jwks"},
        "services": {
            name: party(name)
            | {
                "url": f"https://localhost:{ports[name]}/{name}",
                "audience": _audience(name),
                "scopes": [f"{name}.read"],
                "client_id": name,
                "calls": [
                    {"service": callee, "scopes": [f"{callee}.read"]}
                    for callee in CALLS[name]
                ],
            }
            for name in CALLS
        },
        "gateways": {
            GATEWAY: party(GATEWAY)
            | {
                "url": f"https://localhost:{ports[GATEWAY]}",
                "audience": _audience(GATEWAY),
                "client_id": GATEWAY,
                "routes": {"/orders": {"service": "orders", "scopes": ["orders.read"]}},
            }
        },
        "drill": {
            "victim": "storefront",
            "target": "orders",
            "thief": "stock",
            "bearer_client": "drill-bearer",
            "bearer_brief_client": "drill-bearer-brief",
            "brief_client": "drill-brief",
            "dpop": {"client": "drill-dpop", "brief_client": "drill-dpop-brief"},
            "phantom": {
                "gateway": GATEWAY,
                "client": "drill-phantom",
                "brief_client": "drill-phantom-brief",
            },
            "exchanged": {"service": "stock", "brief_client": "drill-onward-brief"},
        },
    }
