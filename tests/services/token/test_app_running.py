"""Tests of `services.token.app` while time passes, files change and callers leave."""

import asyncio
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.proof.jws import parse
from services.token.app import create_app
from services.token.registry import Registry
from services.watched import Watched
from services.wire.tls import client_context
from tests.services.documents import ISSUER, client_document, token_service_config
from tests.services.logged import lines, only_line
from tests.services.mesh import Instance, Mesh, Serve, now, until
from tests.services.running import registrations, request, token_service


@pytest.fixture
def storefront(mesh: Mesh) -> Instance:
    """Return an instance whose certificate ends in a minute."""
    return mesh.instance("storefront", not_after=now() + timedelta(minutes=1))


def post(client: httpx.Client, **changes: Any) -> httpx.Response:
    """Send a good token request, but for the `changes`."""
    return client.post("/token", data=request(**changes))


def test_an_expired_certificate_gets_no_further_token(
    mesh: Mesh, serve: Serve, tmp_path: Path, storefront: Instance
) -> None:
    """A kept connection ends with its certificate, at the next request."""
    with (
        token_service(mesh, serve, tmp_path) as tokens,
        tokens.client(storefront) as client,
    ):
        tokens.clock.moment = storefront.generation.not_after
        assert post(client).status_code == 200
        tokens.clock.move(seconds=1)
        answer = post(client)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["connection"] == "close"
    assert answer.headers["cache-control"] == "no-store"


def test_a_peer_of_another_trust_domain_gets_no_token(
    mesh: Mesh,
    foreign_mesh: Mesh,
    serve: Serve,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Even a certificate that TLS trusts, and that names a client, must be of ours."""
    own = mesh.instance("token-service")
    both = mesh.bundle_pem + foreign_mesh.bundle_pem
    own.turn(own.write(mesh.issue("token-service"), bundle_pem=both))
    stranger = foreign_mesh.instance("storefront")
    stranger.turn(stranger.write(foreign_mesh.issue("storefront"), bundle_pem=both))
    clients = {
        "storefront": client_document(
            tls_client_auth={"san_uri": str(stranger.spiffe_id)}
        )
    }
    with token_service(mesh, serve, tmp_path, instance=own, clients=clients) as tokens:
        answer = tokens.ask(stranger)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert "is not of shop.internal" in only_line(caplog)["reason"]


def test_a_registration_changes_without_a_restart(
    mesh: Mesh, serve: Serve, tmp_path: Path, storefront: Instance
) -> None:
    """The topology's next state counts a second later, on kept connections, too."""
    with (
        token_service(mesh, serve, tmp_path) as tokens,
        tokens.client(storefront) as client,
    ):
        assert post(client).status_code == 200
        state = str(tmp_path / "state")
        tokens.configure(state=state, clients={})
        assert post(client).status_code == 200
        tokens.clock.move(seconds=1)
        assert post(client).json()["error"] == "invalid_client"
        tokens.configure(state=state, clients=registrations())
        tokens.clock.move(seconds=1)
        assert post(client).status_code == 200


def test_a_bad_registration_changes_nothing(
    mesh: Mesh, serve: Serve, tmp_path: Path, storefront: Instance
) -> None:
    """A document that cannot be used leaves the old one in place."""
    with token_service(mesh, serve, tmp_path) as tokens:
        tokens.document.write_text("{")
        tokens.clock.move(seconds=1)
        assert tokens.ask(storefront).status_code == 200


def test_the_key_outlives_a_restart(
    mesh: Mesh, serve: Serve, tmp_path: Path, storefront: Instance
) -> None:
    """Tokens issued before a restart verify after it."""
    with token_service(mesh, serve, tmp_path) as tokens:
        before = tokens.keys(storefront)
    with token_service(mesh, serve, tmp_path) as tokens:
        assert tokens.keys(storefront).keys() == before.keys()


def test_keys_follow_one_another(mesh: Mesh, serve: Serve, tmp_path: Path) -> None:
    """Whoever keeps the key set for a lead finds every token's key in it (O135)."""
    storefront = mesh.instance("storefront", not_after=now() + timedelta(hours=6))
    with token_service(
        mesh, serve, tmp_path, key_rotation=7200, key_lead=900
    ) as tokens:
        used = []
        for _ in range(20):
            known = tokens.keys(storefront)
            tokens.clock.move(seconds=899)
            key_id = parse(tokens.token(storefront)).key_id
            assert key_id in known
            used.append(key_id)
    assert len(set(used)) == 3


def test_an_issuer_with_a_path_is_served_there(
    mesh: Mesh, serve: Serve, tmp_path: Path, storefront: Instance
) -> None:
    """What the metadata names is where the endpoints are."""
    issuer = f"{ISSUER}/tokens"
    with (
        token_service(mesh, serve, tmp_path, issuer=issuer) as tokens,
        tokens.client(storefront) as client,
    ):
        told = client.get("/.well-known/oauth-authorization-server/tokens").json()
        for member in ("token_endpoint", "jwks_uri"):
            path = httpx.URL(told[member]).path
            assert client.request("PUT", path).status_code == 405
        assert post(client).status_code == 404


def test_a_caller_that_hangs_up_is_one_line_of_the_log(
    mesh: Mesh,
    serve: Serve,
    tmp_path: Path,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Half a body is a refused request, and no failure of the service."""
    head = (
        b"POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\n\r\n"
    )
    with token_service(mesh, serve, tmp_path) as tokens:
        context = client_context(storefront.generation, tokens.instance.spiffe_id)
        plain = socket.create_connection(("127.0.0.1", tokens.running.port), 10)
        with context.wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(head + b"grant_type=client")
        until(lambda: lines(caplog))
    assert only_line(caplog)["event"] == "token.refused"
    assert "hung up" in only_line(caplog)["reason"]
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_request_without_tls_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    """Served in some other way, without a certificate, nobody is a client."""
    config = token_service_config(tmp_path, state=str(tmp_path / "state"))
    watched = Watched(lambda: config, lambda: 0, name="config")
    registry = Registry(watched, mesh.instance("token-service").live())
    app = create_app(watched, registry=registry)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as client:
            return await client.post("/token", data=request())

    answer = asyncio.run(ask())
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    assert answer.headers["connection"] == "close"


def test_what_nobody_foresaw_says_nothing(
    mesh: Mesh,
    serve: Serve,
    tmp_path: Path,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An unexpected exception becomes a code, and its text stays inside."""

    def broken(config: Any, *, clock: Callable[[], Any], **parts: Any) -> Any:
        times = iter([clock()])  # enough to be made, and none for a request
        return create_app(config, clock=lambda: next(times, None) or _fail(), **parts)

    with token_service(mesh, serve, tmp_path, app=broken) as tokens:
        answer = tokens.ask(storefront)
    assert answer.status_code == 500
    assert answer.json() == {"error": "server_error"}
    assert answer.headers["cache-control"] == "no-store"
    assert only_line(caplog)["cause"] == "ZeroDivisionError"


def _fail() -> Any:
    raise ZeroDivisionError("the secret text")
