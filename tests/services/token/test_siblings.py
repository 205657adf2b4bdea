"""Tests of `services.token.siblings`: keys of other replicas, over mutual TLS."""

import asyncio
import json
from typing import Any

import pytest

from services.config import Replica
from services.proof.errors import UnknownKeyError
from services.proof.key_set import KeySetUnavailableError
from services.token.siblings import Sibling
from tests.services.asking import Liar
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import Clock
from tests.services.tokens import Signer

SIGNER = Signer()
GOOD = json.dumps({"keys": [SIGNER.jwk()]}).encode()


@pytest.fixture(scope="module")
def own(mesh: Mesh) -> Instance:
    """Return the replica that asks."""
    return mesh.instance("token-service")


def ask(own: Instance, url: str, key_id: str = SIGNER.key_id) -> None:
    """Ask for a key once, and close the connection."""
    replica = Replica(jwks_uri=f"{url}/jwks/own", spiffe_id=str(own.spiffe_id))

    async def work() -> None:
        sibling = Sibling(replica, own.live(), Clock())
        try:
            await sibling.key(key_id)
        finally:
            await sibling.aclose()

    asyncio.run(work())


def test_a_replica_is_believed(mesh: Mesh, serve: Serve, own: Instance) -> None:
    """Its certificate carries the token service's name."""
    with serve(Liar(200, GOOD), mesh.instance("token-service")) as running:
        ask(own, running.url)
        with pytest.raises(UnknownKeyError):
            ask(own, running.url, "another")


def test_another_service_is_not_believed(
    mesh: Mesh, serve: Serve, own: Instance
) -> None:
    """Whoever holds a certificate of ours could else publish keys to sign with."""
    with (
        serve(Liar(200, GOOD), mesh.instance("orders")) as running,
        pytest.raises(KeySetUnavailableError, match="expected spiffe://"),
    ):
        ask(own, running.url)


@pytest.mark.parametrize(
    ("status", "body"),
    [(302, GOOD), (404, GOOD), (500, GOOD), (200, b"x"), (200, b'{"keys":[1]}')],
    ids=["moved", "absent", "failed", "no-json", "no-list"],
)
def test_what_is_no_key_set_is_an_outage(
    mesh: Mesh, serve: Serve, own: Instance, status: int, body: bytes
) -> None:
    """A replica that answers something else is as good as one that is down."""
    with (
        serve(Liar(status, body), mesh.instance("token-service")) as running,
        pytest.raises(KeySetUnavailableError),
    ):
        ask(own, running.url)


def test_one_that_is_down_is_an_outage(own: Instance) -> None:
    """Nobody listens there."""
    with pytest.raises(KeySetUnavailableError, match="ConnectError"):
        ask(own, "https://localhost:1")


def test_a_key_is_asked_for_once(mesh: Mesh, serve: Serve, own: Instance) -> None:
    """However many tokens name it, or invent another."""
    liar = Liar(200, GOOD)

    async def work(url: str) -> None:
        replica = Replica(jwks_uri=f"{url}/jwks/own", spiffe_id=str(own.spiffe_id))
        sibling: Any = Sibling(replica, own.live(), Clock())
        await asyncio.gather(*(sibling.key(SIGNER.key_id) for _ in range(10)))
        for _ in range(10):
            with pytest.raises(UnknownKeyError):
                await sibling.key("invented")
        await sibling.aclose()

    with serve(liar, mesh.instance("token-service")) as running:
        asyncio.run(work(running.url))
    assert len(liar.asked) == 1
