"""A gateway as a process of its own, as the roll-out starts it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.services.deployed import _await_port, _free_ports
from tests.services.documents import write
from tests.services.gateway.standing import (
    Edge,
    clients,
    gateway_document,
    standing,
    upstream_document,
)
from tests.services.gateway.upstreams import mirror
from tests.services.guarding import bearer
from tests.services.mesh import Mesh, Serve
from tests.services.running import client_of, token_service


@pytest.fixture
def edge(mesh: Mesh, serve: Serve, tmp_path: Path) -> Iterator[Edge]:
    """Return a token service and an upstream by the real clock, and a gateway."""
    (tmp_path / "own").mkdir()
    with (
        token_service(mesh, serve, tmp_path / "own", clients=clients()) as tokens,
        standing(mesh, serve, tmp_path, app=mirror, tokens=tokens) as running,
    ):
        yield running


@contextmanager
def process(edge: Edge, directory: Path) -> Iterator[int]:
    """Run `python -m services run` for a gateway; return its port."""
    (port,) = _free_ports(1)
    routes = {"/shop": upstream_document(url=f"{edge.upstream.url}/orders")}
    address = {
        **gateway_document()["token_service"],
        "token_endpoint": f"{edge.tokens.url}/token",
        "jwks_uri": f"{edge.tokens.url}/jwks",
        "introspection_endpoint": f"{edge.tokens.url}/introspect",
    }
    config = write(
        directory,
        gateway_document(
            port=port,
            identity=str(edge.instance.current),
            token_service=address,
            routes=routes,
        ),
    )
    log = directory / "log"
    with log.open("wb") as stderr:
        started = subprocess.Popen(
            [sys.executable, "-m", "services", "run", str(config)], stderr=stderr
        )
    try:
        _await_port(port, started, log)
        yield port
    finally:
        started.terminate()
        assert started.wait(15) == 0, log.read_text()


def test_a_document_of_the_kind_starts_a_gateway(edge: Edge, tmp_path: Path) -> None:
    """The one command runs it, and it stops when it is told to."""
    home = tmp_path / "process"
    home.mkdir()
    with process(edge, home) as port:
        url = f"https://localhost:{port}"
        with client_of(edge.caller, edge.instance, base_url=url) as client:
            answer = client.get("/shop/7", headers=bearer(edge.token()))
    assert answer.json()["target"] == "/orders/7"
    assert answer.json()["original"] == str(edge.caller.spiffe_id)
