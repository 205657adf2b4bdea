"""Token service and orders as real processes, and real proxies in front of them.

Identities come from a `Mesh`, the services' documents name the proxies as trusted hops,
and the proxies' configurations are written by the collection's role `proxy`, in one run
of Ansible. All stand on free ports of the loopback and end with the context.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.documents import (
    client_document,
    service_document,
    token_service_document,
)
from tests.services.mesh import Instance, Mesh, until
from tests.services.proxies.programs import present

PROJECT = Path(__file__).parents[3]
COLLECTIONS = PROJECT / "playbooks" / "collections"
ORIGINS = ("token-service", "orders")
IMPOSTOR = "impostor"  # a site that leads to orders, and means the token service
SITES = (*ORIGINS, IMPOSTOR)
FORMS = {"nginx": "client-cert", "haproxy": "client-cert", "envoy": "xfcc"}
_ARGUMENTS = {
    "nginx": ["-c", "nginx.conf", "-g", "daemon off;"],
    "haproxy": ["-db", "-q", "-f", "haproxy.cfg"],
    "envoy": ["-c", "envoy.yaml", "--disable-hot-restart", "--concurrency", "1"],
}
_READY = 20.0  # seconds


@dataclass(frozen=True)
class Standing:
    """A server that stands: whose it is, and where each origin is reached by it."""

    instance: Instance
    ports: Mapping[str, int]
    log: Path


@dataclass(frozen=True)
class Origins:
    """The two services, and who stands before them."""

    services: Mapping[str, Standing]
    proxies: Mapping[str, Standing]


@contextmanager
def standing(mesh: Mesh, directory: Path, kinds: Sequence[str]) -> Iterator[Origins]:
    """Run the services, and those proxies of `kinds` that are installed."""
    programs = {kind: program for kind in kinds if (program := present(kind))}
    instances = {name: mesh.instance(name) for name in (*ORIGINS, *FORMS)}
    free = iter(free_ports(len(ORIGINS) + len(SITES) * len(programs)))
    ports = {name: next(free) for name in ORIGINS}
    fronts = {kind: {name: next(free) for name in SITES} for kind in programs}
    with ExitStack() as stack:
        for name, document in _documents(instances, ports, directory).items():
            path = directory / f"{name}.json"
            path.write_text(json.dumps(document))
            command = [sys.executable, "-m", "services", "run", str(path)]
            stack.enter_context(_process(command, directory / f"{name}.log", PROJECT))
        sites = {
            kind: [
                *(_site(instances[name], front[name], ports[name]) for name in ORIGINS),
                _site(instances["token-service"], front[IMPOSTOR], ports["orders"])
                | {"name": IMPOSTOR},
            ]
            for kind, front in fronts.items()
        }
        configured(directory, programs, instances, sites)
        for kind, program in programs.items():
            command = [str(program), *_absolute(_ARGUMENTS[kind], directory / kind)]
            stack.enter_context(
                _process(command, directory / f"{kind}.log", directory / kind)
            )
        for port in [
            *ports.values(),
            *(p for f in fronts.values() for p in f.values()),
        ]:
            until(lambda port=port: _is_open(port), _READY)  # type: ignore[misc]
        yield Origins(
            {
                name: Standing(instances[name], {name: port}, directory / f"{name}.log")
                for name, port in ports.items()
            },
            {
                kind: Standing(instances[kind], front, directory / f"{kind}.log")
                for kind, front in fronts.items()
            },
        )


def configured(
    directory: Path,
    programs: Mapping[str, Path],
    instances: Mapping[str, Instance],
    sites: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Let the role write and check the configuration of each proxy."""
    hosts = {
        kind: {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "certbound_proxy_kind": kind,
            "certbound_proxy_program": str(program),
            "certbound_proxy_directory": str(directory / kind),
            "certbound_proxy_identity": str(instances[kind].current),
            "certbound_proxy_sites": sites[kind],
            **({"certbound_proxy_user": "root"} if os.geteuid() == 0 else {}),
        }
        for kind, program in programs.items()
    }
    inventory, playbook = directory / "inventory.json", directory / "proxies.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    play = {"hosts": "all", "gather_facts": False, "roles": ["certbound.kit.proxy"]}
    playbook.write_text(json.dumps([play]))
    done = subprocess.run(
        [sys.executable, "-m", "ansible", "playbook", "-i", inventory, playbook],
        cwd=directory,
        env=_ansible_environment(directory),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]


def _documents(
    instances: Mapping[str, Instance], ports: Mapping[str, int], directory: Path
) -> dict[str, dict[str, Any]]:
    hops = [
        {"form": form, "spiffe_id": str(instances[kind].spiffe_id)}
        for kind, form in FORMS.items()
    ]
    issuer = f"https://localhost:{ports['token-service']}"
    clients = {
        name: client_document(
            tls_client_auth={"san_uri": f"spiffe://shop.internal/service/{name}"}
        )
        for name in ("storefront", "stock")
    }
    return {
        "token-service": token_service_document(
            port=ports["token-service"],
            identity=str(instances["token-service"].current),
            issuer=issuer,
            state=str(directory / "state"),
            clients=clients,
            trusted_hops=hops,
        ),
        "orders": service_document(
            port=ports["orders"],
            identity=str(instances["orders"].current),
            app="services.samples.hello:create_app",
            token_service={
                "issuer": issuer,
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks",
                "spiffe_id": "spiffe://shop.internal/token-service",
            },
            calls={},
            trusted_hops=hops,
        ),
    }


def _site(origin: Instance, port: int, origin_port: int) -> dict[str, Any]:
    return {
        "name": origin.service.replace("-", "_"),
        "address": "127.0.0.1",
        "port": port,
        "origin_address": "127.0.0.1",
        "origin_port": origin_port,
        "origin_dns_name": f"{origin.service}.{origin.mesh.trust_domain}",
        "origin_spiffe_id": str(origin.spiffe_id),
    }


def _absolute(arguments: Sequence[str], directory: Path) -> list[str]:
    """Return the arguments with the configuration's name as nginx wants it."""
    named = ("nginx.conf", "haproxy.cfg", "envoy.yaml")
    return [str(directory / each) if each in named else each for each in arguments]


@contextmanager
def _process(command: Sequence[str], log: Path, directory: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=directory, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(15)


def _is_open(port: int) -> bool:
    with socket.socket() as attempt:
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _ansible_environment(directory: Path) -> dict[str, str]:
    empty = directory / "ansible.cfg"
    empty.touch()
    return {
        **os.environ,
        "ANSIBLE_CONFIG": str(empty),
        "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
        "ANSIBLE_HOME": str(directory / ".ansible"),
        "ANSIBLE_PIPELINING": "true",
    }
