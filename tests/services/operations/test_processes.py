"""Tests of `services.process`: what `python -m services run` starts."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.documents import (
    client_document,
    service_document,
    token_service_document,
    write,
)
from tests.services.mesh import Instance, Mesh, until
from tests.services.running import client_of


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(document: dict[str, Any], directory: Path) -> Iterator[Path]:
    """Run the process that a document describes; its log is in the file it yields."""
    path, logged = write(directory, document), directory / "log"
    with logged.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "services", "run", str(path)], stderr=stream
        )
    try:
        until(lambda: "process.started" in logged.read_text(), seconds=30)
        yield logged
    finally:
        process.terminate()
        assert process.wait(30) == 0


class Started:
    """A token service and a service behind it, each in a process of its own."""

    def __init__(self, mesh: Mesh, directory: Path) -> None:
        self.directory = directory
        self.instances = {
            name: mesh.instance(name) for name in ("token-service", "orders")
        }
        self.ports = {name: free_port() for name in self.instances}

    def document(self, name: str) -> dict[str, Any]:
        """Return the configuration of one of the two."""
        issuer = f"https://localhost:{self.ports['token-service']}"
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        own = {
            "port": self.ports[name],
            "identity": str(self.instances[name].current),
            "state": str(directory),
        }
        if name == "token-service":
            clients = {"storefront": client_document()}
            return token_service_document(issuer=issuer, clients=clients, **own)
        address = {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
            "revocations_uri": f"{issuer}/revocations",
            "spiffe_id": str(self.instances["token-service"].spiffe_id),
        }
        app = "services.samples.hello:create_app"
        return service_document(app=app, calls={}, token_service=address, **own)

    @contextmanager
    def run(self, name: str) -> Iterator[Path]:
        """Run one of the two."""
        with running(self.document(name), self.directory / name) as logged:
            yield logged

    def get(self, name: str, path: str, by: Instance | None = None) -> httpx.Response:
        """Ask one of the two, as itself if nobody else is named."""
        callee = self.instances[name]
        base_url = f"https://localhost:{self.ports[name]}"
        with client_of(by or callee, callee, base_url=base_url) as client:
            return client.get(path)


@pytest.fixture
def started(mesh: Mesh, tmp_path: Path) -> Started:
    """Return two processes to start."""
    return Started(mesh, tmp_path)


def test_a_token_service_tells_how_it_is(started: Started, mesh: Mesh) -> None:
    """Alive, ready, and its own identity reads its metrics."""
    with started.run("token-service"):
        assert started.get("token-service", "/healthz").status_code == 200
        assert started.get("token-service", "/readyz").json() == {"status": "ready"}
        text = started.get("token-service", "/metrics").text
        for part in ("identity", "signing_key", "store"):
            assert f'certbound_up{{part="{part}"}} 1.0' in text
        document = started.get("token-service", "/openapi.json").json()
        assert "/token" in document["paths"]
        other = mesh.instance("stock")
        assert started.get("token-service", "/metrics", other).status_code == 403


def test_a_monitor_is_named_while_the_process_runs(
    started: Started, mesh: Mesh
) -> None:
    """A new configuration counts a second later."""
    monitor = mesh.instance("monitor")
    with started.run("token-service"):
        document = started.document("token-service")
        write(
            started.directory / "token-service",
            {**document, "monitors": [str(monitor.spiffe_id)]},
        )
        until(
            lambda: started.get("token-service", "/metrics", monitor).status_code == 200
        )


def test_a_service_is_ready_when_it_can_check_tokens(
    started: Started, mesh: Mesh
) -> None:
    """Before its token service is there it is alive, and not ready."""
    with started.run("orders") as logged:
        assert started.get("orders", "/healthz").status_code == 200
        answer = started.get("orders", "/readyz")
        assert answer.status_code == 503
        assert answer.json()["failing"] == ["key_set", "revocations"]
        with started.run("token-service"):
            until(
                lambda: started.get("orders", "/readyz").status_code == 200, seconds=20
            )
            text = started.get("orders", "/metrics").text
        assert 'certbound_age_seconds{part="key_set"}' in text
        assert 'certbound_age_seconds{part="revocations"}' in text
        assert started.get("orders", "/orders").status_code == 401
    events = [json.loads(line)["event"] for line in logged.read_text().splitlines()]
    assert events[-1] == "process.stopped"
