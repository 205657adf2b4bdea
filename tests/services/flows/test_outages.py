"""A flow under load while replicas are killed, and then the store they share.

Two token services and two guards, real processes behind balancers; Redis under all.
Honest callers with DPoP count what failed; with each request of theirs come three that
must not be let through: its proof a second time, a revoked token, a stolen one.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from pki.clock import utc_now
from services.wire.tls import client_context
from tests.services.balanced import Balancer, Process, free_ports
from tests.services.documents import (
    ORDERS_AUDIENCE,
    client_document,
    service_document,
    token_service_document,
)
from tests.services.holding import Holder
from tests.services.mesh import Mesh
from tests.services.running import Clock, request
from tests.services.state.redis_server import RedisServer

CALLERS = 3
ROUNDS = 4  # of each caller, in each phase
LONGEST = 240  # seconds for all of it; ten on a machine that has nothing else to do
HEALED = 50  # tries, a tenth of a second apart


class Now(Clock):
    """The real time, which is that of processes."""

    def __call__(self) -> datetime:
        """Return the moment."""
        return utc_now()


@dataclass
class Counts:
    """What became of requests."""

    served: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # honest ones, by the answer
    stopped: int = 0  # not let through, as it should be
    wrong: list[str] = field(default_factory=list)  # let through, and should not be

    @property
    def failures(self) -> int:
        """All honest requests that were not served."""
        return sum(self.failed.values())

    def honest(self, what: str, answer: str) -> None:
        """Count a request that should be served."""
        if answer == "200":
            self.served += 1
        else:
            answer = f"{what}: {answer}"
            self.failed[answer] = self.failed.get(answer, 0) + 1

    def dishonest(self, what: str, answer: str) -> None:
        """Count a request that should not be."""
        if answer == "200":
            self.wrong.append(what)
        else:
            self.stopped += 1

    def __str__(self) -> str:
        """Return the counts as a line of a table."""
        return (
            f"{self.served:3} served, {self.failures:3} failed, {self.stopped:3} "
            f"stopped, {len(self.wrong)} wrongly accepted   {self.failed or ''}"
        )


class Caller:
    """An honest caller with a key, and the thief who reads all that it sends."""

    def __init__(self, fleet: "Fleet") -> None:
        self._fleet = fleet
        self._holder = Holder(Now())
        self._nonces: dict[str, str] = {}
        self._token: str | None = None
        self._void: str | None = None
        self._sent: list[Mapping[str, str]] = []

    async def prepare(self) -> None:
        """Get two tokens, one of them revoked, so that the guards have heard of it."""
        self._token = await self._issued()
        self._void = await self._issued()
        assert self._token
        assert self._void
        form = {"client_id": "dpop", "token": self._void}
        answer = await self._fleet.tokens.post("/revoke", data=form)
        assert answer.status_code == 200

    async def round(self, counts: Counts) -> None:
        """Ask once as it should be, and three times as it should not."""
        fresh = await self._issued()
        counts.honest("a token", "200" if fresh else self._last)
        self._token = fresh or self._token
        assert self._token
        assert self._void
        headers = await self._open(self._token)
        counts.honest("a call", self._last)
        # A proof whose first use may have been lost on the way is not known to be used.
        if self._last == "200":
            self._sent.append(headers)
        used = [*self._sent[:1], *self._sent[-1:]]
        for theft in (*used, {"Authorization": f"Bearer {self._token}"}):
            await self._ask(theft)
            counts.dishonest("replayed or stolen", self._last)
        await self._open(self._void)
        counts.dishonest("revoked", self._last)

    async def _issued(self) -> str | None:
        form = request(client_id="dpop")
        answer = None
        for _ in range(2):
            proof = self._proof("POST", f"{self._fleet.issuer}/token")
            answer = await self._send(
                self._fleet.tokens.post("/token", data=form, headers={"DPoP": proof})
            )
            if not self._learnt(self._fleet.issuer, answer):
                break
        if answer is None or self._last != "200":
            return None
        return str(answer.json()["access_token"])

    async def _open(self, token: str) -> Mapping[str, str]:
        """Ask with a new proof, twice if a nonce is wanted; return what was sent."""
        headers: Mapping[str, str] = {}
        for _ in range(2):
            proof = self._proof("GET", f"{self._fleet.origin}/orders", token)
            headers = {"Authorization": f"DPoP {token}", "DPoP": proof}
            answer = await self._ask(headers)
            if not self._learnt(self._fleet.origin, answer):
                break
        return headers

    async def _ask(self, headers: Mapping[str, str]) -> httpx.Response | None:
        return await self._send(self._fleet.orders.get("/orders", headers=headers))

    async def _send(self, sending: Awaitable[httpx.Response]) -> httpx.Response | None:
        try:
            answer = await sending
        except httpx.HTTPError as error:
            self._last = type(error).__name__
            return None
        self._last = str(answer.status_code)
        return answer

    def _proof(self, method: str, uri: str, token: str | None = None) -> str:
        origin = uri.rpartition("/")[0]
        self._holder.nonce = self._nonces.get(origin)
        return self._holder.proof(method, uri, token)

    def _learnt(self, origin: str, answer: httpx.Response | None) -> bool:
        """Remember a nonce; return whether the answer asks to try again with it."""
        nonce = answer.headers.get("dpop-nonce") if answer is not None else None
        if answer is None or nonce is None:
            return False
        self._nonces[origin] = nonce
        return "use_dpop_nonce" in answer.text


@dataclass
class Fleet:
    """Two replicas of each, and the ways to them."""

    issuer: str
    origin: str
    tokens: httpx.AsyncClient
    orders: httpx.AsyncClient
    processes: Mapping[str, Process]

    async def load(
        self, callers: list[Caller], before: Callable[[int], Any] = lambda _: None
    ) -> Counts:
        """Let all callers go through their rounds; `before` each of the first one's."""
        counts = Counts()

        async def rounds(number: int, caller: Caller) -> None:
            for turn in range(ROUNDS):
                if number == 0:
                    before(turn)
                await caller.round(counts)

        await asyncio.gather(*(rounds(*pair) for pair in enumerate(callers)))
        return counts


def _documents(
    mesh: Mesh, directory: Path, redis: RedisServer, ports: list[int]
) -> dict[str, dict[str, Any]]:
    front, back, *own = ports
    issuer = f"https://localhost:{front}"
    spiffe_id = str(mesh.spiffe_id("token-service"))
    documents = {}
    for number, port in enumerate(own[:2]):
        documents[f"tokens-{number}"] = token_service_document(
            port=port,
            issuer=issuer,
            identity=str(mesh.instance("token-service").current),
            state=str(directory / f"tokens-{number}"),
            store=redis.url,
            clients={"dpop": client_document(binding="dpop")},
            replicas=[
                {
                    "jwks_uri": f"https://localhost:{own[1 - number]}/jwks/own",
                    "spiffe_id": spiffe_id,
                }
            ],
        )
    for number, port in enumerate(own[2:]):
        documents[f"orders-{number}"] = service_document(
            port=port,
            identity=str(mesh.instance("orders").current),
            app="services.samples.hello:create_app",
            state=str(directory / f"orders-{number}"),
            store=redis.url,
            token_service={
                "issuer": issuer,
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks",
                "revocations_uri": f"{issuer}/revocations",
                "spiffe_id": spiffe_id,
            },
            guard={
                "audience": ORDERS_AUDIENCE,
                "resource": "/orders",
                "scopes": ["orders.read"],
                "bearer_clients": [],
                "origins": [f"https://localhost:{back}"],
            },
            calls={},
        )
    return documents


@asynccontextmanager
async def fleet(
    mesh: Mesh, directory: Path, redis: RedisServer
) -> AsyncIterator[Fleet]:
    """Run all of it while the context lasts."""
    ports = free_ports(6)
    documents = _documents(mesh, directory, redis, ports)
    processes = {
        name: Process(directory / name, document)
        for name, document in documents.items()
    }
    storefront = mesh.instance("storefront")

    def client(port: int, service: str) -> httpx.AsyncClient:
        context = client_context(storefront.generation, mesh.spiffe_id(service))
        return httpx.AsyncClient(
            base_url=f"https://localhost:{port}",
            verify=context,
            trust_env=False,
            timeout=30,
        )

    with ExitStack() as dying:
        for process in processes.values():
            dying.callback(process.kill)
            process.start()
        await asyncio.gather(*(process.ready() for process in processes.values()))
        async with AsyncExitStack() as opened:
            front, back, *own = ports
            await opened.enter_async_context(Balancer.listening(front, own[:2]))
            await opened.enter_async_context(Balancer.listening(back, own[2:]))
            tokens = await opened.enter_async_context(client(front, "token-service"))
            orders = await opened.enter_async_context(client(back, "orders"))
            yield Fleet(
                issuer=f"https://localhost:{front}",
                origin=f"https://localhost:{back}",
                tokens=tokens,
                orders=orders,
                processes=processes,
            )


async def _outages(running: Fleet, redis: RedisServer) -> dict[str, Counts]:
    callers = [Caller(running) for _ in range(CALLERS)]
    for caller in callers:
        await caller.prepare()
    counts = {"whole": await running.load(callers)}

    def kill(turn: int) -> None:
        if turn == 1:
            running.processes["tokens-0"].kill()
            running.processes["orders-0"].kill()

    counts["one of each killed"] = await running.load(callers, kill)
    counts["one of each"] = await running.load(callers)
    redis.kill()
    counts["without the store"] = await running.load(callers)
    redis.start()
    for _ in range(HEALED):
        tried = Counts()
        await callers[0].round(tried)
        assert not tried.wrong
        if not tried.failed:
            break
        await asyncio.sleep(0.1)
    counts["healed"] = await running.load(callers)
    return counts


@pytest.mark.rollout
def test_outages_cost_requests_and_let_nothing_through(
    mesh: Mesh, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed replica costs what was on its connections; a killed store, all of it."""

    async def work() -> dict[str, Counts]:
        with RedisServer.started() as redis:
            async with (
                asyncio.timeout(LONGEST),
                fleet(mesh, tmp_path, redis) as running,
            ):
                return await _outages(running, redis)

    counts = asyncio.run(work())
    with capsys.disabled():
        for phase, found in counts.items():
            print(f"\n{phase:18} {found}", end="")  # noqa: T201 - the counts are asked for
    all_of_them = 2 * CALLERS * ROUNDS  # honest ones: a token and a call each round
    for phase, found in counts.items():
        assert not found.wrong, phase
        assert found.served + found.failures == all_of_them, phase
        # Four others each round: two replays, a stolen token, a revoked one.
        assert found.stopped == 2 * all_of_them, phase
    for phase in ("whole", "one of each", "healed"):
        assert counts[phase].failed == {}, phase
    # At most the requests that were under way, and one on each connection kept.
    assert counts["one of each killed"].failures <= 4 * CALLERS
    assert counts["without the store"].served == 0
    assert set(counts["without the store"].failed) == {"a token: 503", "a call: 503"}
