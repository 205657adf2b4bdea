"""Flows in which time passes: over kept connections, past every end."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from services.proof.key_set import MAX_AGE, REFETCH_INTERVAL
from tests.services.guarding import Service, bearer, guarded
from tests.services.logged import lines, only_line
from tests.services.mesh import Instance, Mesh, Serve, now
from tests.services.running import Tokens, token_service
from tests.services.tokens import Signer, claims


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Return a stack, so that a test can stop the token service early."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def tokens(mesh: Mesh, serve: Serve, tmp_path: Path, opened: ExitStack) -> Tokens:
    """Return a token service that `opened` closes."""
    home = tmp_path / "token-service"
    home.mkdir()
    return opened.enter_context(token_service(mesh, serve, home))


@pytest.fixture
def orders(
    mesh: Mesh, serve: Serve, tokens: Tokens, tmp_path: Path
) -> Iterator[Service]:
    """Return the service that is called."""
    with guarded(tokens, serve, mesh.instance("orders"), tmp_path) as running:
        yield running


@pytest.fixture
def storefront(mesh: Mesh) -> Instance:
    """Return a caller whose certificate ends in a minute, before its token does."""
    return mesh.instance("storefront", not_after=now() + timedelta(minutes=1))


def test_a_kept_connection_ends_with_its_certificate(
    tokens: Tokens,
    orders: Service,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The token is still good: the certificate's end alone refuses, and hangs up."""
    headers = bearer(tokens.token(storefront))
    with orders.client(storefront) as client:
        tokens.clock.moment = storefront.generation.not_after
        assert client.get("/orders", headers=headers).status_code == 200
        tokens.clock.move(seconds=1)
        answer = client.get("/orders", headers=headers)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert "certificate" in answer.headers["www-authenticate"]
    assert answer.headers["connection"] == "close"
    assert orders.seen[0].port == orders.seen[1].port
    assert only_line(caplog)["cause"] == "UnusableCertificateError"


def test_a_token_ends_on_a_kept_connection(
    tokens: Tokens, orders: Service, mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate is still good: the token's end alone refuses."""
    storefront = mesh.instance("storefront")
    headers = bearer(tokens.token(storefront))
    with orders.client(storefront) as client:
        tokens.clock.move(seconds=299)
        assert client.get("/orders", headers=headers).status_code == 200
        tokens.clock.move(seconds=1)
        answer = client.get("/orders", headers=headers)
    assert answer.status_code == 401
    assert "expired" in answer.headers["www-authenticate"]
    assert "connection" not in answer.headers
    assert only_line(caplog)["cause"] == "ExpiredTokenError"


def test_invented_keys_do_not_set_the_pace(
    tokens: Tokens, orders: Service, storefront: Instance
) -> None:
    """However many tokens name unknown keys, the token service is asked once."""
    good = tokens.token(storefront)
    assert orders.get(storefront, good).status_code == 200
    assert tokens.asked("/jwks") == 1
    tokens.clock.move(seconds=REFETCH_INTERVAL.total_seconds())
    with orders.client(storefront) as client:
        for _ in range(5):
            forged = bearer(Signer().token(claims()))
            assert client.get("/orders", headers=forged).status_code == 401
    assert tokens.asked("/jwks") == 2
    tokens.clock.move(seconds=REFETCH_INTERVAL.total_seconds())
    assert orders.get(storefront, Signer().token(claims())).status_code == 401
    assert tokens.asked("/jwks") == 3
    assert orders.get(storefront, good).status_code == 200


def test_without_any_key_set_nobody_gets_in(
    tokens: Tokens,
    orders: Service,
    storefront: Instance,
    opened: ExitStack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A token service that is away makes the answer a 503, and never a 200."""
    good = tokens.token(storefront)
    opened.close()
    for _ in range(2):
        answer = orders.get(storefront, good)
        assert answer.status_code == 503
        assert answer.json() == {"error": "temporarily_unavailable"}
        assert answer.headers["retry-after"]
    assert {line["cause"] for line in lines(caplog)} == {"KeySetUnavailableError"}


def test_an_outage_is_outlived_until_the_keys_are_old(
    tokens: Tokens, orders: Service, mesh: Mesh, opened: ExitStack
) -> None:
    """Known keys verify for ten minutes, and not a second longer."""
    storefront = mesh.instance("storefront")
    first = tokens.token(storefront)
    assert orders.get(storefront, first).status_code == 200
    tokens.clock.move(seconds=MAX_AGE.total_seconds() - 1)
    second = tokens.token(storefront)
    opened.close()
    assert orders.get(storefront, second).status_code == 200
    tokens.clock.move(seconds=1)
    assert orders.get(storefront, second).status_code == 503
