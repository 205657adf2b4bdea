"""Tests of `services.token.self_signed`: the whole certificate is the client."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.wire.generation import thumbprint
from tests.services.many_clients import (
    OTHER,
    PARTNER,
    cause,
    confirmed,
    connected,
    every_method,
    owned,
    post,
    self_signed,
)
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.registered import (
    error_of,
)
from tests.services.running import (
    Tokens,
    token_service,
)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Return a CA whose certificates have the names of ours, and other keys."""
    return Mesh(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh,
    foreign_mesh: Mesh,
    twin: Mesh,
    serve: Serve,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tokens]:
    """Return a token service that has clients of every method."""
    home = tmp_path_factory.mktemp("tokens")
    with every_method(mesh, foreign_mesh, twin, serve, home) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return an instance with a certificate of our own CA."""
    return mesh.instance("storefront")


def test_a_registered_certificate_is_the_client(tokens: Tokens) -> None:
    """It gets a token, and the token is bound to it."""
    with owned(tokens, PARTNER) as client:
        answer = post(client, client_id="partner")
    assert confirmed(answer) == {"x5t#S256": thumbprint(PARTNER.certificate)}


def test_another_clients_registered_certificate_is_not(
    tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    """TLS lets it in for its own owner; the match is with this client's alone."""
    with owned(tokens, OTHER) as client:
        answer = post(client, client_id="partner")
    assert error_of(answer) == (401, "invalid_client")
    assert cause(caplog) == "UnregisteredCertificateError"


def test_a_certificate_of_our_ca_is_no_self_signed_client(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """Trust is of no use to who is known by one certificate."""
    assert error_of(tokens.ask(storefront, client_id="partner"))[0] == 401
    assert cause(caplog) == "UnregisteredCertificateError"


def test_a_renewed_certificate_of_the_same_key_is_another(tokens: Tokens) -> None:
    """It is the whole certificate that counts; TLS knows it by nobody."""
    again = PARTNER._signed(PARTNER.subject, PARTNER.key, PARTNER._extensions, None)
    with (
        connected(tokens, PARTNER.key, again) as client,
        pytest.raises(httpx.TransportError),
    ):
        post(client, client_id="partner")


def test_an_expired_certificate_ends_a_kept_connection(
    mesh: Mesh, serve: Serve, tmp_path: Path
) -> None:
    """The time of a self-signed certificate is as real as any."""
    own = {"partner": self_signed(PARTNER)}
    with (
        token_service(mesh, serve, tmp_path, clients=own) as tokens,
        owned(tokens, PARTNER) as client,
    ):
        assert post(client, client_id="partner").status_code == 200
        tokens.clock.move(hours=2)
        assert error_of(post(client, client_id="partner")) == (401, "invalid_client")


def test_self_signed_clients_are_known_at_all_endpoints(tokens: Tokens) -> None:
    """They revoke what they were given."""
    with owned(tokens, PARTNER) as client:
        token = post(client, client_id="partner").json()["access_token"]
        body = {"client_id": "partner", "token": token}
        assert client.post("/revoke", data=body).status_code == 200
        body["client_id"] = "other"
        assert client.post("/revoke", data=body).status_code == 401
