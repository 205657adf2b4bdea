"""Every party renews under load, by itself, and no request fails.

Token service, storefront, orders and stock are processes; a customer calls storefront,
which calls orders, which calls stock, each in the customer's name. All certificates are
older than two thirds of their life when the load begins, and the CA is away. Then it
comes back.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from services.config import read_config
from services.errors import ServiceError
from services.guard.workload import Workload
from services.renewal.task import renewing
from services.watched import Watched
from tests.judges import processes
from tests.services.authority import Authority
from tests.services.documents import (
    client_document,
    enrolment_document,
    service_document,
    token_service_document,
)
from tests.services.mesh import Instance, Serve, until
from tests.services.proxies.standing import free_ports

CALLS = {"customer": "storefront", "storefront": "orders", "orders": "stock"}
SERVED = ("token-service", "storefront", "orders", "stock")
PARTIES = (*SERVED, "customer", "enrolment")
CALLERS = 4
FEWEST = 300  # requests of the customer, each of which makes two more


def audience(name: str) -> str:
    """Return what tokens for a service name."""
    return f"https://{name}.shop.internal"


@dataclass
class Town:
    """Everybody's identity, port and document."""

    house: Authority
    directory: Path
    instances: Mapping[str, Instance]
    ports: Mapping[str, int]

    def url(self, name: str) -> str:
        """Return the root of a party."""
        return f"https://localhost:{self.ports[name]}"

    def own(self, name: str) -> dict[str, Any]:
        """Return the members that every party's document has."""
        instance = self.instances[name]
        state = self.directory / f"{name}-state"
        state.mkdir(exist_ok=True)
        return {
            "service": name,
            "instance": f"{name}@localhost",
            "spiffe_id": str(instance.spiffe_id),
            "port": self.ports[name],
            "identity": str(instance.current),
            "state": str(state),
            "renewal": {
                "url": f"{self.url('enrolment')}/.well-known/est",
                "spiffe_id": str(self.instances["enrolment"].spiffe_id),
                "first_pause": 0.5,
                "longest_pause": 1,
            },
        }

    def service(self, name: str) -> dict[str, Any]:
        """Return the document of a service, or of the customer."""
        issuer = self.url("token-service")
        callee = CALLS.get(name)
        call = callee and {
            "url": f"{self.url(callee)}/{callee}",
            "spiffe_id": str(self.instances[callee].spiffe_id),
            "audience": audience(callee),
            "scopes": [f"{callee}.read"],
        }
        return service_document(
            **self.own(name),
            app=f"services.samples.{name}:create_app",
            client_id=name,
            token_service={
                "issuer": issuer,
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks",
                "revocations_uri": f"{issuer}/revocations",
                "spiffe_id": str(self.instances["token-service"].spiffe_id),
            },
            guard={
                "audience": audience(name),
                "resource": f"/{name}",
                "scopes": [f"{name}.read"],
                "bearer_clients": [],
            },
            calls={callee: call} if callee else {},
        )

    def tokens(self) -> dict[str, Any]:
        """Return the document of the token service."""
        return token_service_document(
            **self.own("token-service"),
            issuer=self.url("token-service"),
            clients={name: self.client(name) for name in CALLS},
        )

    def client(self, name: str) -> dict[str, Any]:
        """Return how a caller is registered."""
        reach = {audience(CALLS[name]): [f"{CALLS[name]}.read"]}
        return client_document(
            tls_client_auth={"san_uri": str(self.instances[name].spiffe_id)},
            audiences=reach,
            audience=audience(name),
            delegates={f"{name}.read": reach},
        )

    def ca(self) -> dict[str, Any]:
        """Return the document of the CA's front."""
        return enrolment_document(
            **self.own("enrolment"),
            ca=str(self.house.layout.directory),
            issuing_passphrase=str(self.house.passphrase),
        )

    def write(self, name: str, document: dict[str, Any]) -> Path:
        """Write a document, and return its file."""
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    def start(self, stack: ExitStack, name: str, document: dict[str, Any]) -> None:
        """Run a process until the stack is closed."""
        command = processes.service(self.write(name, document))
        log = self.directory / f"{name}.log"
        running = processes.running(command, log, port=self.ports[name])
        stack.enter_context(running)

    def said(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return the lines that a process has written of an event."""
        text = (self.directory / f"{name}.log").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line["event"] == event]


@pytest.fixture
def town(tmp_path: Path) -> Town:
    """Return six parties whose certificates are 20 of their 24 hours old."""
    house = Authority(tmp_path, services=PARTIES)
    ports = dict(zip(PARTIES, free_ports(len(PARTIES)), strict=True))
    age = timedelta(hours=20)
    instances = {name: house.instance(name, age=age) for name in PARTIES}
    return Town(house, tmp_path, instances, ports)


@dataclass
class Load:
    """The customer's requests, one after the other from each of its callers."""

    workload: Workload
    count: int = 0
    failures: list[str] = field(default_factory=list)
    ends: bool = False

    async def run(self) -> None:
        """Ask until it ends."""
        await asyncio.gather(*(self._ask() for _ in range(CALLERS)))
        await self.workload.aclose()

    async def _ask(self) -> None:
        while not self.ends:
            try:
                answer = await self.workload.client("storefront").get("/storefront")
                if answer.status_code != httpx.codes.OK:
                    self.failures.append(f"{answer.status_code} {answer.text}")
            except (httpx.HTTPError, ServiceError) as error:
                self.failures.append(repr(error))
            self.count += 1


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return a stack that ends every process."""
    with ExitStack() as opened:
        yield opened


async def _healthy(_request: Any) -> Response:
    return Response()


def test_every_party_renews_under_load(
    town: Town, serve: Serve, stack: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """First the CA is away, which costs nothing; then all renew, and none fails."""
    town.start(stack, "token-service", town.tokens())
    for name in ("stock", "orders", "storefront"):
        town.start(stack, name, town.service(name))
    customer = town.instances["customer"]
    live = customer.live()
    running = stack.enter_context(
        serve(Starlette(routes=[Route("/healthz", _healthy)]), live)
    )
    document = town.service("customer") | {"port": running.port}
    path = town.write("customer", document)
    load = Load(Workload.load(path))
    before = {name: town.instances[name].generation.serial for name in PARTIES}

    async def drive() -> None:
        loop = asyncio.get_running_loop()
        driving = asyncio.ensure_future(load.run())
        try:
            await loop.run_in_executor(None, until, lambda: load.count > 50, 30)
            assert {name: _serial(town, name) for name in PARTIES} == before
            await loop.run_in_executor(None, town.start, stack, "enrolment", town.ca())
            await loop.run_in_executor(None, until, lambda: _all_renewed(town), 60)
            most = max(load.count + 50, FEWEST)
            await loop.run_in_executor(None, until, lambda: load.count > most, 60)
        finally:
            load.ends = True
            await driving

    def _all_renewed(town: Town) -> bool:
        return all(_serial(town, name) != before[name] for name in PARTIES)

    config = Watched(lambda: read_config(path), lambda: None, name="customer")
    with renewing(config, live):
        asyncio.run(drive())
    assert load.failures == []
    assert load.count > FEWEST
    for name in (*SERVED, "enrolment"):
        until(partial(town.said, name, "renewal.done"))
        assert not town.said(name, "renewal.broken")
        causes = {line["cause"] for line in town.said(name, "renewal.failed")}
        assert causes <= {"AuthorityAwayError"}
        assert name == "enrolment" or causes
    with capsys.disabled():
        print(  # noqa: T201 - the count is what this test shows
            f"\n{load.count} requests through {len(PARTIES)} renewals, "
            f"{len(load.failures)} failed"
        )


def _serial(town: Town, name: str) -> int:
    return town.instances[name].generation.serial
