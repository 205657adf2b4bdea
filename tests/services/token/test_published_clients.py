"""Tests of `services.token.registry`: clients that publish their keys themselves."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.token.client_keys import MAX_AGE, REFETCH_INTERVAL
from services.token.registry import Registry
from services.watched import Watched
from tests.services.documents import token_service_config
from tests.services.many_clients import cause, confirmed, owned, post, registered
from tests.services.mesh import Instance, Mesh, Serve, serve, until
from tests.services.proofs import Prover
from tests.services.registered import Owner, asserted, assertion, error_of
from tests.services.running import Tokens, registrations, token_service

OLD, NEW = Owner("partner"), Owner("partner")
FIRST, SECOND = Prover(), Prover()
JWKS = "published"


@dataclass
class Publisher:
    """A client's own server; it can be away."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    asked: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer."""
        if scope["type"] != "http":
            return
        self.asked += 1
        start = {"type": "http.response.start", "status": self.status, "headers": []}
        await send(start)
        body = json.dumps({"keys": self.keys}).encode()
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
def publisher(mesh: Mesh) -> Iterator[Publisher]:
    """Return a server that publishes the old keys, to everybody."""
    made = Publisher(keys=[OLD.jwk(), {**FIRST.public(), "kid": "one"}])
    host = mesh.instance("client")
    with serve(made, host, demand_certificate=False) as running:
        made.url = f"{running.url}/jwks"
        yield made


@pytest.fixture
def tokens(
    mesh: Mesh, publisher: Publisher, tmp_path: Path, serve: Serve
) -> Iterator[Tokens]:
    """Return a token service with a self-signed client and one that signs."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(mesh.bundle_pem)
    source = {
        "jwks_uri": publisher.url,
        "trust_bundle": str(roots),
        "networks": ["127.0.0.0/8", "::1/128"],
    }
    clients = {
        **registrations(),
        "partner": registered(self_signed_tls_client_auth=source),
        "signing": registered(private_key_jwt=source),
    }
    with token_service(mesh, serve, tmp_path, clients=clients) as running:
        until(lambda: publisher.asked)
        yield running


def asks(tokens: Tokens, owner: Owner) -> int:
    """Return the answer to a client with this certificate; 0 is TLS's refusal."""
    with owned(tokens, owner) as client:
        try:
            return post(client, client_id="partner").status_code
        except httpx.TransportError:
            return 0


def signs(tokens: Tokens, caller: Instance, prover: Prover, jti: str) -> httpx.Response:
    """Send a token request that this key has signed."""
    at = int(tokens.clock().timestamp())
    text = assertion(
        prover, iss="signing", sub="signing", iat=at, nbf=at, exp=at + 60, jti=jti
    )
    return tokens.ask(caller, client_id=None, **asserted(text))


def test_a_published_certificate_gets_in_at_once(
    tokens: Tokens, publisher: Publisher
) -> None:
    """Before the first connection the token service has asked for it."""
    with owned(tokens, OLD) as client:
        assert confirmed(post(client, client_id="partner"))
    assert publisher.asked == 1


def test_a_client_rolls_its_certificate_without_a_word(
    tokens: Tokens, publisher: Publisher
) -> None:
    """The first handshake has it looked for, the next gets in; both are good."""
    publisher.keys = [OLD.jwk(), NEW.jwk()]
    tokens.clock.moment += REFETCH_INTERVAL
    assert asks(tokens, NEW) == 0
    until(lambda: publisher.asked == 2)
    until(lambda: asks(tokens, NEW) == 200)
    assert asks(tokens, OLD) == 200


def test_strangers_do_not_set_the_pace(tokens: Tokens, publisher: Publisher) -> None:
    """Whoever knocks with certificates nobody knows has us ask once an interval."""
    for _ in range(5):
        assert asks(tokens, Owner()) == 0
    assert publisher.asked == 1
    tokens.clock.moment += REFETCH_INTERVAL
    for _ in range(5):
        assert asks(tokens, Owner()) == 0
    until(lambda: publisher.asked == 2)


def test_a_withdrawn_certificate_is_refused(
    tokens: Tokens, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    """On a kept connection, too, and after `MAX_AGE` at the latest."""
    with owned(tokens, OLD) as client:
        assert post(client, client_id="partner").status_code == 200
        publisher.keys = [NEW.jwk()]
        tokens.clock.moment += MAX_AGE
        caplog.clear()
        assert error_of(post(client, client_id="partner")) == (401, "invalid_client")
    assert cause(caplog) == "UnregisteredCertificateError"
    assert asks(tokens, OLD) == 0


def test_a_published_ca_never_becomes_an_anchor(
    tokens: Tokens, publisher: Publisher
) -> None:
    """What a client publishes is checked like what is registered (F1)."""
    trap = Owner("partner", authority=True, signs=True)
    publisher.keys = [OLD.jwk(), trap.jwk()]
    tokens.clock.moment += REFETCH_INTERVAL
    assert asks(tokens, trap) == 0
    until(lambda: publisher.asked == 2)
    assert asks(tokens, trap) == 0
    assert asks(tokens, OLD) == 200


def test_old_keys_without_their_publisher_are_an_outage(
    tokens: Tokens, publisher: Publisher
) -> None:
    """Whether they still count cannot be said; it heals by itself."""
    with owned(tokens, OLD) as client:
        publisher.status = 500
        tokens.clock.moment += MAX_AGE
        answer = post(client, client_id="partner")
        assert error_of(answer) == (503, "temporarily_unavailable")
        assert answer.headers["retry-after"]
        publisher.status = 200
        tokens.clock.moment += REFETCH_INTERVAL
        assert post(client, client_id="partner").status_code == 200


def test_a_client_rolls_the_key_of_its_assertions(
    tokens: Tokens, publisher: Publisher, mesh: Mesh
) -> None:
    """An unknown key is looked for once more within the request itself."""
    caller = mesh.instance("storefront")
    assert signs(tokens, caller, FIRST, "a").status_code == 200
    publisher.keys = [{**prover.public(), "kid": "one"} for prover in (FIRST, SECOND)]
    assert signs(tokens, caller, SECOND, "b").status_code == 401
    tokens.clock.moment += REFETCH_INTERVAL
    assert signs(tokens, caller, SECOND, "c").status_code == 200
    assert signs(tokens, caller, FIRST, "d").status_code == 200


def test_a_changed_document_asks_nobody_again(
    tokens: Tokens, publisher: Publisher, mesh: Mesh, tmp_path: Path
) -> None:
    """What was fetched for a client outlives a change of another's registration."""
    document = json.loads(tokens.document.read_text())
    del document["clients"]["orders"]
    tokens.document.write_text(json.dumps(document))
    tokens.clock.move(seconds=2)
    assert asks(tokens, OLD) == 200
    assert tokens.ask(mesh.instance("orders"), client_id="orders").status_code == 401
    assert publisher.asked == 1


def test_a_removed_client_is_let_in_no_more(tokens: Tokens) -> None:
    """Its certificate leaves the anchors with the registration."""
    document = json.loads(tokens.document.read_text())
    del document["clients"]["partner"]
    tokens.document.write_text(json.dumps(document))
    tokens.clock.move(seconds=2)
    assert asks(tokens, OLD) == 0


def test_a_publisher_that_is_away_keeps_no_service_from_starting(
    mesh: Mesh, tmp_path: Path, serve: Serve
) -> None:
    """Its own client waits; the others do not."""
    source = {"jwks_uri": "https://localhost:1/jwks", "networks": ["127.0.0.0/8"]}
    clients = {
        **registrations(),
        "partner": registered(self_signed_tls_client_auth=source),
    }
    with token_service(mesh, serve, tmp_path, clients=clients) as running:
        assert running.ask(mesh.instance("storefront")).status_code == 200
        assert asks(running, OLD) == 0


def test_outside_an_event_loop_a_miss_is_nothing(mesh: Mesh, tmp_path: Path) -> None:
    """A blocking socket has nobody to ask meanwhile."""
    source = {"jwks_uri": "https://localhost:1/jwks", "networks": ["127.0.0.0/8"]}
    clients = {"partner": registered(self_signed_tls_client_auth=source)}
    config = token_service_config(tmp_path, clients=clients)
    watched = Watched(lambda: config, lambda: 0, name="config")
    registry = Registry(watched, mesh.instance("token-service").live())
    registry.missed()
    assert registry.current() == b""
