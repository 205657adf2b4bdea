"""A small town of processes, and a customer whose requests go through all of them.

Token service, storefront, orders and stock are processes; a customer calls storefront,
which calls orders, which calls stock, each in the customer's name. What happens to
certificates meanwhile is for the tests.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from services.errors import ServiceError
from services.guard.workload import Workload
from tests.judges import processes
from tests.services.authority import Authority
from tests.services.documents import (
    client_document,
    enrolment_document,
    service_document,
    token_service_document,
)
from tests.services.mesh import Instance, Serve
from tests.services.proxies.standing import free_ports

CALLS = {"customer": "storefront", "storefront": "orders", "orders": "stock"}
SERVED = ("token-service", "storefront", "orders", "stock")
PARTIES = (*SERVED, "customer", "enrolment")
CALLERS = 4


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

    def open(self, stack: ExitStack) -> None:
        """Run what is called, until the stack is closed."""
        self.start(stack, "token-service", self.tokens())
        for name in ("stock", "orders", "storefront"):
            self.start(stack, name, self.service(name))

    def said(self, name: str, event: str) -> list[dict[str, Any]]:
        """Return the lines that a process has written of an event."""
        text = (self.directory / f"{name}.log").read_text()
        lines = [json.loads(line) for line in text.splitlines()]
        return [line for line in lines if line["event"] == event]


def settle(directory: Path, *, age: timedelta) -> Town:
    """Return six parties whose certificates are `age` of their 24 hours old."""
    house = Authority(directory, services=PARTIES)
    ports = dict(zip(PARTIES, free_ports(len(PARTIES)), strict=True))
    instances = {name: house.instance(name, age=age) for name in PARTIES}
    return Town(house, directory, instances, ports)


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


async def _healthy(_request: Any) -> Response:
    return Response()


def customer(town: Town, serve: Serve, stack: ExitStack) -> tuple[Path, Load]:
    """Start a port of the customer's own; return its document and its requests."""
    app = Starlette(routes=[Route("/healthz", _healthy)])
    running = stack.enter_context(serve(app, town.instances["customer"].live()))
    document = town.service("customer") | {"port": running.port}
    path = town.write("customer", document)
    return path, Load(Workload.load(path))
