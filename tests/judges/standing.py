"""Token service and guarded services as real processes, for others to judge.

`orders` is what is called, `storefront` who calls, with a registration for each kind of
token; `stock` is the next service behind orders, and the one that steals.
"""

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.judges import processes
from tests.services.documents import (
    client_document,
    service_document,
    token_service_document,
)
from tests.services.mesh import Instance, Mesh
from tests.services.proxies.standing import free_ports

AUDIENCE = "https://orders.shop.internal"
NEXT_AUDIENCE = "https://stock.shop.internal"
SCOPE = "orders.read"
TOKEN_SERVICE = "spiffe://shop.internal/token-service"


@dataclass(frozen=True)
class Standing:
    """What stands: who everybody is, and where they are reached."""

    mesh: Mesh
    directory: Path
    instances: Mapping[str, Instance]
    ports: Mapping[str, int]

    @property
    def issuer(self) -> str:
        """The token service."""
        return f"https://localhost:{self.ports['token-service']}"

    @property
    def resource(self) -> str:
        """What a token opens."""
        return f"https://localhost:{self.ports['orders']}/orders"

    def paths(self, name: str) -> tuple[str, str]:
        """Return the files of an instance's certificate and key."""
        current = self.instances[name].current
        return str(current / "certificate.pem"), str(current / "key.pem")

    @property
    def bundle(self) -> str:
        """The file of the trust bundle."""
        return str(self.instances["orders"].current / "bundle.pem")

    def context(self) -> ssl.SSLContext:
        """Return how a stranger without a certificate connects."""
        return ssl.create_default_context(cafile=self.bundle)

    def given(self) -> dict[str, Any]:
        """Return all that a script in another language needs to know."""
        return {
            "issuer": self.issuer,
            "resource": self.resource,
            "audience": AUDIENCE,
            "next_audience": NEXT_AUDIENCE,
            "scope": SCOPE,
            "bundle": Path(self.bundle).read_text(),
            "identities": {
                name: {
                    "certificate": Path(self.paths(name)[0]).read_text(),
                    "key": Path(self.paths(name)[1]).read_text(),
                }
                for name in self.instances
            },
        }


@contextmanager
def standing(mesh: Mesh, directory: Path) -> Iterator[Standing]:
    """Run the token service and orders while the context lasts."""
    names = ("token-service", "orders")
    made = Standing(
        mesh,
        directory,
        {name: mesh.instance(name) for name in (*names, "storefront", "stock")},
        dict(zip(names, free_ports(len(names)), strict=True)),
    )
    documents = {
        "token-service": token_service_document(
            port=made.ports["token-service"],
            identity=str(made.instances["token-service"].current),
            issuer=made.issuer,
            state=str(directory / "state"),
            clients=registrations(),
        ),
        "orders": guarded_document(
            "orders",
            made.instances["orders"],
            made.ports["orders"],
            directory,
            token_service_address(made.issuer, revocations="/revocations"),
        ),
    }
    with ExitStack() as stack:
        for name, document in documents.items():
            start(stack, name, document, directory)
        yield made


def start(
    stack: ExitStack, name: str, document: Mapping[str, Any], directory: Path
) -> None:
    """Run a process of ours until `stack` ends."""
    path = directory / f"{name}.json"
    path.write_text(json.dumps(document))
    log = directory / f"{name}.log"
    command = processes.service(path)
    stack.enter_context(processes.running(command, log, port=document["port"]))


def token_service_address(
    issuer: str, *, jwks: str = "/jwks", revocations: str | None = None
) -> dict[str, Any]:
    """Return how a service finds a token service."""
    address = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}{jwks}",
        "spiffe_id": TOKEN_SERVICE,
    }
    feed = {"revocations_uri": f"{issuer}{revocations}"} if revocations else {}
    return address | feed


def guarded_document(
    name: str,
    instance: Instance,
    port: int,
    directory: Path,
    token_service: Mapping[str, Any],
    **changes: Any,
) -> dict[str, Any]:
    """Return the configuration of a service that says hello to whoever may enter."""
    guard = {
        "audience": f"https://{name}.shop.internal",
        "resource": f"/{name}",
        "scopes": [f"{name}.read"],
        "bearer_clients": [],
        "origins": [f"https://localhost:{port}"],
    }
    state = directory / f"{name}-state"
    state.mkdir()
    own = {
        "service": name,
        "instance": f"{name}@localhost",
        "spiffe_id": str(instance.spiffe_id),
        "port": port,
        "identity": str(instance.current),
        "app": "services.samples.hello:create_app",
        "client_id": name,
        "token_service": token_service,
        "state": str(state),
        "guard": guard,
        "calls": {},
    }
    return service_document(**own | changes)


def registrations() -> dict[str, Any]:
    """Return the clients: storefront for each kind of token, orders, and stock."""

    def client(service: str, **changes: Any) -> dict[str, Any]:
        name = f"spiffe://shop.internal/service/{service}"
        own = {"tls_client_auth": {"san_uri": name}, "audiences": {AUDIENCE: [SCOPE]}}
        return client_document(**own | changes)

    reach = {NEXT_AUDIENCE: ["stock.read"]}
    return {
        "storefront": client("storefront"),
        "storefront-dpop": client("storefront", binding="dpop"),
        "storefront-opaque": client("storefront", format="opaque"),
        "storefront-bearer": client("storefront", binding="none"),
        "orders": client(
            "orders", audience=AUDIENCE, audiences=reach, delegates={SCOPE: reach}
        ),
        "stock": client("stock", audience=NEXT_AUDIENCE),
        # Clients that look for their own id in a signed answer: docs/decisions/0016.
        AUDIENCE: client("orders", audience=AUDIENCE),
        NEXT_AUDIENCE: client("stock", audience=NEXT_AUDIENCE),
    }
