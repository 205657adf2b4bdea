"""Flows with revoked tokens: every guard refuses them within seconds (RFC 7009)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.guard.revocations import BOUND, POLL
from tests.services.fleet import Standing, TokenService, replicas, standing
from tests.services.logged import lines
from tests.services.mesh import Instance, Mesh, Serve, until
from tests.services.state.redis_server import RedisServer


@pytest.fixture
def tokens(mesh: Mesh, serve: Serve, tmp_path: Path) -> Iterator[TokenService]:
    """Return a token service."""
    with replicas(mesh, serve, tmp_path / "tokens") as (running,):
        yield running


@pytest.fixture
def orders(
    mesh: Mesh, serve: Serve, tokens: TokenService, tmp_path: Path
) -> Iterator[Standing]:
    """Return a service that follows the list of void tokens."""
    instance = mesh.instance("orders")
    with standing(tokens, serve, instance, tmp_path / "orders") as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return who calls."""
    return mesh.instance("storefront")


def revoke(tokens: TokenService, caller: Instance, token: str) -> None:
    """Void a token of the storefront's."""
    form = {"client_id": "storefront", "token": token}
    assert tokens.post(caller, "/revoke", **form).status_code == 200


def test_a_revoked_token_is_refused_within_the_bound(
    tokens: TokenService,
    orders: Standing,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Five seconds after it was voided, with nothing asked in between."""
    token, other = tokens.token(storefront), tokens.token(storefront)
    headers = {"Authorization": f"Bearer {token}"}
    with orders.client(storefront) as client:
        assert client.get("/orders", headers=headers).status_code == 200
        revoke(tokens, storefront, token)
        tokens.clock.moment += BOUND
        answer = client.get("/orders", headers=headers)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
        headers["Authorization"] = f"Bearer {other}"
        assert client.get("/orders", headers=headers).status_code == 200
    assert lines(caplog)[-1]["cause"] == "RevokedTokenError"


def test_under_traffic_it_is_refused_within_a_second(
    tokens: TokenService, orders: Standing, storefront: Instance
) -> None:
    """Whoever asks first makes the list young for the next one."""
    token = tokens.token(storefront)
    headers = {"Authorization": f"Bearer {token}"}
    with orders.client(storefront) as client:
        assert client.get("/orders", headers=headers).status_code == 200
        revoke(tokens, storefront, token)
        tokens.clock.moment += POLL
        client.get("/orders", headers=headers)
        until(lambda: client.get("/orders", headers=headers).status_code == 401)


def test_a_list_that_is_too_old_closes_the_door(
    tokens: TokenService,
    orders: Standing,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The token service is away: served until the bound, then 503 for everybody."""
    headers = {"Authorization": f"Bearer {tokens.token(storefront)}"}
    with orders.client(storefront) as client:
        assert client.get("/orders", headers=headers).status_code == 200
        tokens.stop()
        tokens.clock.moment += BOUND * 0.9
        assert client.get("/orders", headers=headers).status_code == 200
        tokens.clock.moment += BOUND * 0.1
        answer = client.get("/orders", headers=headers)
    assert answer.status_code == 503
    assert answer.json() == {"error": "temporarily_unavailable"}
    assert answer.headers["retry-after"]
    assert lines(caplog)[-1]["cause"] == "RevocationsUnknownError"


def test_a_list_that_cannot_be_made_closes_the_door_until_it_can(
    mesh: Mesh, serve: Serve, storefront: Instance, tmp_path: Path
) -> None:
    """The store is away, the token service is not: 503, and back by itself."""
    with (
        RedisServer.started() as redis,
        replicas(mesh, serve, tmp_path / "tokens", store=redis.url) as (tokens,),
        standing(tokens, serve, mesh.instance("orders"), tmp_path / "o") as orders,
        orders.client(storefront) as client,
    ):
        void, good = tokens.token(storefront), tokens.token(storefront)
        revoke(tokens, storefront, void)
        redis.kill()
        for token in (good, void):
            headers = {"Authorization": f"Bearer {token}"}
            assert client.get("/orders", headers=headers).status_code == 503
        redis.start()
        for token, status in ((good, 200), (void, 401)):
            headers = {"Authorization": f"Bearer {token}"}
            assert client.get("/orders", headers=headers).status_code == status


def test_polls_with_nothing_new_are_short(
    tokens: TokenService, orders: Standing, storefront: Instance
) -> None:
    """One question for many requests, and its answer a 304."""
    headers = {"Authorization": f"Bearer {tokens.token(storefront)}"}
    with orders.client(storefront) as client:
        for _ in range(3):
            for _ in range(10):
                assert client.get("/orders", headers=headers).status_code == 200
            tokens.clock.moment += BOUND
    assert tokens.asked("/revocations") == 3


def test_a_service_without_the_list_goes_by_the_end_alone(
    mesh: Mesh, serve: Serve, tokens: TokenService, storefront: Instance, tmp_path: Path
) -> None:
    """Where no list is configured, a JWT lives until it expires."""
    address = {**tokens.address(), "revocations_uri": None}
    home, instance = tmp_path / "plain", mesh.instance("orders")
    token = tokens.token(storefront)
    with standing(tokens, serve, instance, home, token_service=address) as orders:
        revoke(tokens, storefront, token)
        answer = orders.ask(storefront, {"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert tokens.asked("/revocations") == 0
