"""Flows with two token services behind one issuer, each with a key of its own."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.proof.jws import parse
from services.proof.key_set import REFETCH_INTERVAL
from tests.services.fleet import TokenService, replicas, standing
from tests.services.logged import lines
from tests.services.mesh import Instance, Mesh, Serve


@pytest.fixture(scope="module")
def both(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sequence[TokenService]]:
    """Return two replicas that share a store."""
    with replicas(mesh, serve, tmp_path_factory.mktemp("replicas"), 2) as running:
        yield running


@pytest.fixture
def mortal(
    mesh: Mesh, serve: Serve, tmp_path: Path
) -> Iterator[Sequence[TokenService]]:
    """Return two more, one of which will be stopped."""
    with replicas(mesh, serve, tmp_path / "replicas", 2) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return who calls."""
    return mesh.instance("storefront")


def bearer(token: str) -> dict[str, str]:
    """Return the header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


def published(tokens: TokenService, caller: Instance, path: str = "/jwks") -> Any:
    """Return the members of a key set."""
    with tokens.client(caller) as client:
        return client.get(path).raise_for_status().json()["keys"]


def test_each_replica_publishes_the_union(
    both: Sequence[TokenService], storefront: Instance
) -> None:
    """Two keys with ids of their own, `use` and `alg`, the same set at either."""
    sets = [published(tokens, storefront) for tokens in both]
    ids = [{key["kid"] for key in found} for found in sets]
    assert ids[0] == ids[1]
    assert len(ids[0]) == len(sets[0]) == 2
    for key in (*sets[0], *sets[1]):
        assert (key["use"], key["alg"]) == ("sig", "ES256")
        assert "d" not in key


def test_its_own_keys_are_what_others_ask_for(
    both: Sequence[TokenService], storefront: Instance
) -> None:
    """Each tells the others its own alone, so no question goes round in circles."""
    own = [published(tokens, storefront, "/jwks/own") for tokens in both]
    assert [len(found) for found in own] == [1, 1]
    assert own[0][0]["kid"] != own[1][0]["kid"]
    both[1].seen.clear()
    both[0].clock.moment += REFETCH_INTERVAL
    published(both[0], storefront)
    assert [seen.path for seen in both[1].seen] == ["/jwks/own"]


def test_a_guard_takes_tokens_of_both(
    both: Sequence[TokenService],
    mesh: Mesh,
    serve: Serve,
    storefront: Instance,
    tmp_path: Path,
) -> None:
    """It asks one replica, and knows the other's key by it."""
    issued = [tokens.token(storefront) for tokens in both]
    assert parse(issued[0]).key_id != parse(issued[1]).key_id
    with standing(both[0], serve, mesh.instance("orders"), tmp_path / "o") as orders:
        for token in issued:
            assert orders.ask(storefront, bearer(token)).status_code == 200


@pytest.mark.parametrize("client_id", ["storefront", "opaque"])
def test_each_replica_reads_what_the_other_issued(
    both: Sequence[TokenService], mesh: Mesh, storefront: Instance, client_id: str
) -> None:
    """Introspection and revocation work at either, for JWTs and references."""
    first, second = both
    asker = mesh.instance("orders")
    token = second.token(storefront, client_id=client_id)

    def told() -> httpx.Response:
        return first.post(asker, "/introspect", client_id="orders", token=token)

    assert told().json()["active"] is True
    first.post(storefront, "/revoke", client_id=client_id, token=token)
    assert told().json() == {"active": False}


def test_one_that_is_down_does_not_silence_the_other(
    mortal: Sequence[TokenService],
    mesh: Mesh,
    serve: Serve,
    storefront: Instance,
    tmp_path: Path,
) -> None:
    """The keys of the one are still published while they are young."""
    first, second = mortal
    token = second.token(storefront)
    assert len(published(first, storefront)) == 2
    second.stop()
    first.clock.moment += REFETCH_INTERVAL
    assert len(published(first, storefront)) == 2
    with standing(first, serve, mesh.instance("orders"), tmp_path / "o") as orders:
        for issued in (token, first.token(storefront)):
            assert orders.ask(storefront, bearer(issued)).status_code == 200


def test_one_that_never_answered_is_left_out(
    mortal: Sequence[TokenService],
    mesh: Mesh,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The other's own key is there, and what cannot be read is not called dead."""
    first, second = mortal
    token = second.token(storefront)
    second.stop()
    assert len(published(first, storefront)) == 1
    assert lines(caplog)[-1]["event"] == "replica.without_keys"
    asker = mesh.instance("orders")
    own = {"client_id": "orders", "token": first.token(storefront)}
    assert first.post(asker, "/introspect", **own).json()["active"] is True
    foreign = {"client_id": "orders", "token": token}
    assert first.post(asker, "/introspect", **foreign).status_code == 503
