"""Tests of `services.guard.replays`: the memory of proofs, and its outages."""

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from services.config import ConfigError
from services.guard.errors import ReplayedProofError
from services.guard.replays import Replays, open_replays
from services.proof.dpop import DpopProof
from services.proof.dpop_errors import StaleNonceError
from services.state.open import open_store
from tests.services.documents import service_config
from tests.services.fleet import replicas, standing
from tests.services.holding import Holder, bound, introduced
from tests.services.logged import lines
from tests.services.mesh import Mesh, Serve
from tests.services.state.redis_server import RedisServer
from tests.services.tokens import NOW


def proof(thumbprint: str = "key", *, number: int = 1) -> DpopProof:
    """Return a verified proof."""
    until = NOW + timedelta(seconds=70)
    return DpopProof(thumbprint, f"proof {number}", NOW, until, None)


def memory(path: Path) -> Replays:
    """Return a replica's memory."""
    where = path / "shared.sqlite"
    return Replays(open_store(where, scope="orders", clock=lambda: NOW))


def test_a_proof_is_spent_once(tmp_path: Path) -> None:
    """Here and at the replica next door; another key's or another id is another."""

    async def work() -> None:
        here, there = memory(tmp_path), memory(tmp_path)
        await here.spend(proof())
        for replays in (here, there):
            with pytest.raises(ReplayedProofError):
                await replays.spend(proof())
        await there.spend(proof(thumbprint="another"))
        await there.spend(proof(number=2))
        await here.store.aclose()
        await there.store.aclose()

    asyncio.run(work())


def test_proofs_that_come_together_have_one_winner(tmp_path: Path) -> None:
    """Twenty at once, at two replicas: one is the first (section 11.1)."""

    async def work() -> int:
        both = memory(tmp_path), memory(tmp_path)
        spent = await asyncio.gather(
            *(both[number % 2].spend(proof()) for number in range(20)),
            return_exceptions=True,
        )
        for replays in both:
            await replays.store.aclose()
        return spent.count(None)

    assert asyncio.run(work()) == 1


def test_the_directory_of_the_state_is_made(tmp_path: Path) -> None:
    """For its owner alone; the first proof needs it, and nobody else would make it."""
    state = tmp_path / "orders" / "state"
    config = service_config(tmp_path, state=str(state))

    async def work() -> None:
        replays = open_replays(config, audience="orders", clock=lambda: NOW)
        assert replays is not None
        await replays.spend(proof())
        await replays.store.aclose()

    asyncio.run(work())
    assert state.stat().st_mode & 0o777 == 0o700


def test_without_a_place_there_is_no_memory(tmp_path: Path) -> None:
    """Then no proofs are taken."""
    config = service_config(tmp_path, state=None)
    assert open_replays(config, audience="orders", clock=lambda: NOW) is None


def test_a_directory_that_cannot_be_made_stops_the_start(tmp_path: Path) -> None:
    """There is a file in its place."""
    (tmp_path / "state").write_text("")
    config = service_config(tmp_path, state=str(tmp_path / "state"))
    with pytest.raises(ConfigError, match="state"):
        open_replays(config, audience="orders", clock=lambda: NOW)


def test_nonces_are_shared(tmp_path: Path) -> None:
    """What one replica issues the other takes, at the same and at the next step."""

    async def issuer(replays: Replays, now: datetime) -> str:
        return (await replays.nonces(now)).issue(now)

    async def work() -> None:
        here, there = memory(tmp_path), memory(tmp_path)
        nonce = await issuer(here, NOW)
        (await there.nonces(NOW)).check(nonce, NOW + timedelta(seconds=60))
        with pytest.raises(StaleNonceError):
            (await there.nonces(NOW)).check(nonce, NOW + timedelta(seconds=120))
        await here.store.aclose()
        await there.store.aclose()

    asyncio.run(work())


def test_without_the_store_the_answer_is_a_503_until_it_is_back(
    mesh: Mesh, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No proof is taken that cannot be remembered; what was, is remembered still."""
    storefront = mesh.instance("storefront")
    with (
        RedisServer.started() as redis,
        replicas(mesh, serve, tmp_path / "tokens") as (tokens,),
        standing(
            tokens, serve, mesh.instance("orders"), tmp_path / "o", store=redis.url
        ) as orders,
    ):
        holder = Holder(tokens.clock)
        token = bound(tokens, storefront, holder)
        introduced(orders, storefront, holder, token)
        spent = holder.headers(token, f"{orders.url}/orders")
        fresh = holder.headers(token, f"{orders.url}/orders")
        with orders.client(storefront) as client:
            assert client.get("/orders", headers=spent).status_code == 200
            redis.kill()
            caplog.clear()
            for headers in (spent, fresh):
                answer = client.get("/orders", headers=headers)
                assert answer.status_code == 503
                assert answer.json() == {"error": "temporarily_unavailable"}
                assert answer.headers["retry-after"]
            causes = {line["cause"] for line in lines(caplog)}
            assert causes == {"StateUnavailableError"}
            redis.start()
            assert client.get("/orders", headers=spent).status_code == 401
            assert client.get("/orders", headers=fresh).status_code == 200
