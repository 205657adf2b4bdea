"""Tests of `services.guard.workload`: what a service knows of itself and of others."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from services.config import ConfigError
from services.guard.decision import Rules
from services.guard.workload import UnknownCalleeError, Workload
from services.proof.key_set import KeySetUnavailableError
from services.wire.generation import GenerationError
from tests.services.asking import Liar
from tests.services.documents import (
    ISSUER,
    ORDERS_AUDIENCE,
    service_document,
    token_service_document,
    write,
)
from tests.services.guarding import workload
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import Tokens, token_service


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service."""
    with token_service(mesh, serve, tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the instance whose workload it is."""
    return mesh.instance("orders")


def key_of(own: Workload, key_id: str) -> None:
    """Ask for a key, and close all connections."""

    async def work() -> None:
        try:
            await own.keys.key(key_id)
        finally:
            await own.aclose()

    asyncio.run(work())


def rewrite(directory: Path, own: Workload, **changes: Any) -> None:
    """Replace the document of a workload, as the roll-out does."""
    document = json.loads((directory / "config.json").read_text())
    write(directory, {**document, **changes})


def test_a_document_makes_a_workload(orders: Instance, tmp_path: Path) -> None:
    """One line in the application is enough: the document says the rest."""
    document = service_document(
        identity=str(orders.current), spiffe_id=str(orders.spiffe_id)
    )
    own = Workload.load(write(tmp_path, document))
    assert own.trust_domain == "shop.internal"
    assert own.config.service == "orders"
    assert own.identity.current().spiffe_id == orders.spiffe_id
    assert own.rules == Rules(
        issuer=ISSUER, audience=ORDERS_AUDIENCE, bearer_clients=frozenset()
    )
    asyncio.run(own.aclose())


def test_a_token_service_is_no_workload(tmp_path: Path) -> None:
    """The document of another kind of process is refused by its kind."""
    with pytest.raises(ConfigError, match="kind is not 'service'"):
        Workload.load(write(tmp_path, token_service_document()))


def test_a_missing_document_is_refused(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(ConfigError, match="No such file"):
        Workload.load(tmp_path / "absent.json")


def test_a_missing_identity_is_refused(tmp_path: Path) -> None:
    """Without a certificate nobody starts."""
    document = service_document(identity=str(tmp_path / "absent"))
    with pytest.raises(GenerationError):
        Workload.load(write(tmp_path, document))


def test_another_services_identity_is_refused(mesh: Mesh, tmp_path: Path) -> None:
    """The certificate must be the one the document promises."""
    document = service_document(identity=str(mesh.instance("stock").current))
    with pytest.raises(GenerationError, match=r"service/stock, expected .*/orders"):
        Workload.load(write(tmp_path, document))


def test_a_call_that_the_topology_does_not_have_is_refused(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """There is no way to a service without an edge."""
    with pytest.raises(UnknownCalleeError, match="no call to 'storefront'"):
        workload(tokens, orders, tmp_path).client("storefront")


def test_the_way_to_a_service_is_kept(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """Its connections serve many requests."""
    own = workload(tokens, orders, tmp_path)
    assert own.client("stock") is own.client("stock")
    assert str(own.client("stock").base_url) == "https://localhost:8443/"
    asyncio.run(own.aclose())


def test_rules_and_calls_follow_the_document(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """A new configuration counts a second later."""
    own = workload(tokens, orders, tmp_path)
    before = own.client("stock")
    document = service_document()
    stock = {**document["calls"]["stock"], "url": "https://localhost:9443/stock"}
    guard = {**document["guard"], "bearer_clients": ["bearer"]}
    rewrite(tmp_path, own, calls={"stock": stock}, guard=guard)
    assert own.rules.bearer_clients == frozenset()
    tokens.clock.move(seconds=1)
    assert own.rules.bearer_clients == {"bearer"}
    assert own.client("stock") is not before
    assert str(own.client("stock").base_url) == "https://localhost:9443/"
    rewrite(tmp_path, own, calls={})
    tokens.clock.move(seconds=1)
    with pytest.raises(UnknownCalleeError):
        own.client("stock")
    asyncio.run(own.aclose())


def test_a_bad_document_changes_nothing(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """The rules that were good stay in force."""
    own = workload(tokens, orders, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    tokens.clock.move(seconds=1)
    assert own.rules.audience == ORDERS_AUDIENCE
    asyncio.run(own.aclose())


def test_keys_come_from_the_token_service(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """They are fetched over mutual TLS, with the service's own certificate."""
    tokens.seen.clear()
    (key_id,) = tokens.keys(orders)
    key_of(workload(tokens, orders, tmp_path), key_id)
    assert tokens.seen[-1].path == "/jwks"
    assert tokens.seen[-1].thumbprint == orders.generation.thumbprint


def test_keys_of_another_service_are_not_taken(
    tokens: Tokens, orders: Instance, mesh: Mesh, tmp_path: Path
) -> None:
    """Whoever publishes keys must be the token service by its certificate."""
    own = workload(
        tokens,
        orders,
        tmp_path,
        token_service={
            "issuer": ISSUER,
            "token_endpoint": f"{tokens.url}/token",
            "jwks_uri": f"{tokens.url}/jwks",
            "spiffe_id": str(mesh.spiffe_id("stock")),
        },
    )
    with pytest.raises(KeySetUnavailableError, match="expected spiffe://"):
        key_of(own, "any")


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_an_error_is_no_key_set(
    tokens: Tokens,
    orders: Instance,
    serve: Serve,
    tmp_path: Path,
    status: int,
) -> None:
    """What is not answered with 200 is not read."""
    with serve(Liar(status, b'{"keys":[]}'), tokens.instance) as running:
        uri = f"{running.url}/jwks"
        own = workload(
            tokens,
            orders,
            tmp_path,
            token_service={
                "issuer": ISSUER,
                "token_endpoint": uri,
                "jwks_uri": uri,
                "spiffe_id": str(tokens.instance.spiffe_id),
            },
        )
        with pytest.raises(KeySetUnavailableError):
            key_of(own, "any")
