"""Tests of `services.token.limits`: 429 at the three endpoints."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.services.logged import only_line
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import Tokens, registrations, request, token_service

SLOW = {"per_second": 0.01, "burst": 2}
FAST = {"per_second": 1000, "burst": 1000}
ENDPOINTS = {"token": "/token", "introspection": "/introspect", "revocation": "/revoke"}


@pytest.fixture
def tokens(mesh: Mesh, serve: Serve, tmp_path: Path) -> Iterator[Tokens]:
    """Return a token service that lets two requests through."""
    rates = dict.fromkeys(ENDPOINTS, SLOW)
    with token_service(mesh, serve, tmp_path, rates=rates) as running:
        yield running


@pytest.fixture
def storefront(mesh: Mesh) -> Instance:
    """Return the instance that is registered as a client."""
    return mesh.instance("storefront")


def statuses(client: httpx.Client, times: int = 3, **changes: Any) -> list[int]:
    """Return how the same request is answered, time after time."""
    return [
        client.post("/token", data=request(**changes)).status_code for _ in range(times)
    ]


def test_who_asks_too_often_is_told_when_to_come_back(
    tokens: Tokens, storefront: Instance
) -> None:
    """The answer is 429 with Retry-After, may not be stored, and is JSON."""
    with tokens.client(storefront) as client:
        assert statuses(client, 2) == [200, 200]
        answer = client.post("/token", data=request())
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "100"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {
        "error": "temporarily_unavailable",
        "error_description": "too many requests",
    }


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_each_endpoint_has_its_limit(
    tokens: Tokens, storefront: Instance, endpoint: str
) -> None:
    """Token, introspection and revocation are counted apart."""
    form = request(token="x")
    with tokens.client(storefront) as client:
        for other, path in ENDPOINTS.items():
            for _ in range(3 if other == endpoint else 1):
                last = client.post(path, data=form)
            assert (last.status_code == 429) == (other == endpoint)


def test_a_failed_request_counts_too(tokens: Tokens, storefront: Instance) -> None:
    """Nobody can try out client ids at will."""
    with tokens.client(storefront) as client:
        assert statuses(client, client_id="nobody") == [401, 401, 429]


def test_a_certificate_counts_for_all_its_connections_and_clients(
    tokens: Tokens, storefront: Instance
) -> None:
    """A new connection, or another client of the same certificate, changes nothing."""
    for client_id in ("storefront", "bearer"):
        assert tokens.ask(storefront, client_id=client_id).status_code == 200
    assert tokens.ask(storefront).status_code == 429


def test_a_client_counts_for_all_its_certificates(tokens: Tokens, mesh: Mesh) -> None:
    """Two hosts of one service share what it may ask."""
    for _ in range(2):
        assert tokens.ask(mesh.instance("storefront")).status_code == 200
    assert tokens.ask(mesh.instance("storefront")).status_code == 429


def test_nobody_uses_up_the_share_of_another(
    tokens: Tokens, storefront: Instance, mesh: Mesh
) -> None:
    """To name a client without being it does not count against it."""
    for _ in range(3):
        tokens.ask(mesh.instance("stock"))
    assert tokens.ask(storefront).status_code == 200


def test_what_is_free_is_not_limited(tokens: Tokens, storefront: Instance) -> None:
    """Keys, metadata and revocations answer whoever has used up the rest."""
    with tokens.client(storefront) as client:
        statuses(client)
        for path in (
            "/jwks",
            "/revocations",
            "/.well-known/oauth-authorization-server",
        ):
            assert client.get(path).status_code == 200


def test_a_new_limit_counts_without_a_restart(
    tokens: Tokens, storefront: Instance
) -> None:
    """The configuration is asked for each request."""
    with tokens.client(storefront) as client:
        assert statuses(client) == [200, 200, 429]
        tokens.configure(
            state=str(tokens.document.parent / "state"),
            clients=registrations(),
            rates={"token": FAST},
        )
        tokens.clock.move(seconds=1)
        assert 200 in statuses(client, 10)


def test_the_refusal_is_logged(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says which certificate asks too often."""
    with tokens.client(storefront) as client:
        statuses(client)
    line = only_line(caplog)
    assert (line["event"], line["cause"]) == ("token.refused", "TooManyRequestsError")
    assert line["certificate"] == format(storefront.generation.serial, "x")
