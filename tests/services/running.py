"""The token service, running on real sockets; `guarding` adds the services.

    with token_service(mesh, serve, directory) as tokens:
        tokens.token(mesh.instance("storefront"))

Every process gets the same `Clock`, so that a test moves the time for all of them: for
tokens, certificates on kept connections, and looks at the disk. Handshakes know only
the real time, from which the clock starts. What a process was asked is in `seen`.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from cryptography import x509
from joserfc.jwk import ECKey
from starlette.types import ASGIApp, Receive, Scope, Send

from pki.trust import TrustBundle
from services.config import ConfigError, TokenServiceConfig, read_config
from services.proof.key_set import read_key_set
from services.token.app import create_app
from services.token.registry import Registry
from services.watched import Watched, file_stamp
from services.wire.generation import thumbprint
from services.wire.tls import client_context
from tests.services.documents import (
    ORDERS_AUDIENCE,
    client_document,
    token_service_document,
    write,
)
from tests.services.mesh import Instance, Mesh, Running, Serve, now

STOCK_AUDIENCE = "https://stock.shop.internal"
ORDERS = "spiffe://shop.internal/service/orders"


@dataclass
class Clock:
    """The time as a test wants it; it stands until it is moved."""

    moment: datetime = field(default_factory=now)

    def __call__(self) -> datetime:
        """Return the moment."""
        return self.moment

    def seconds(self) -> float:
        """Return seconds that rise with the moment."""
        return self.moment.timestamp()

    def move(self, **step: float) -> None:
        """Let time pass."""
        self.moment += timedelta(**step)


def registrations() -> dict[str, Any]:
    """Return the clients of the sample topology, and two for thefts."""
    orders = client_document(
        tls_client_auth={"san_uri": ORDERS},
        audiences={STOCK_AUDIENCE: ["stock.read"]},
        audience=ORDERS_AUDIENCE,
        delegates={"orders.read": {STOCK_AUDIENCE: ["stock.read"]}},
    )
    return {
        "storefront": client_document(),
        "orders": orders,
        "bearer": client_document(binding="none"),
        "other-bearer": client_document(binding="none"),
    }


@dataclass(frozen=True)
class Seen:
    """One request as it arrived at a process."""

    method: str
    path: str
    port: int  # the caller's: another one is another connection
    thumbprint: str
    authorization: str


def recorded(
    app: ASGIApp, seen: list[Seen], before: list[Callable[[], object]] | None = None
) -> ASGIApp:
    """Return `app` with a list of what it is asked.

    What stands in `before` is done, and removed, when the next request arrives.
    """

    async def recording(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            der = scope["extensions"]["tls"]["client_cert"]
            headers = dict(scope["headers"])
            seen.append(
                Seen(
                    scope["method"],
                    scope["path"],
                    scope["client"][1],
                    thumbprint(x509.load_der_x509_certificate(der)),
                    headers.get(b"authorization", b"").decode("latin-1"),
                )
            )
            while before:
                before.pop()()
        await app(scope, receive, send)

    return recording


@dataclass
class Tokens:
    """A running token service."""

    running: Running
    instance: Instance
    document: Path
    clock: Clock
    seen: list[Seen]
    before: list[Callable[[], object]]  # to be done when it is asked next

    def asked(self, path: str) -> int:
        """Return how often `path` was asked for."""
        return sum(request.path == path for request in self.seen)

    @property
    def url(self) -> str:
        """Its root."""
        return self.running.url

    def configure(self, **changes: Any) -> None:
        """Replace the configuration document, as the roll-out does."""
        write(self.document.parent, token_service_document(**changes))

    def client(self, caller: Instance) -> httpx.Client:
        """Return a client that keeps its connection to the token service."""
        return client_of(caller, self.instance, base_url=self.url)

    def ask(self, caller: Instance, **changes: Any) -> httpx.Response:
        """Send a good token request for storefront, but for the `changes`."""
        with self.client(caller) as client:
            return client.post("/token", data=request(**changes))

    def token(self, caller: Instance, **changes: Any) -> str:
        """Return a token that was really issued."""
        answer = self.ask(caller, **changes).raise_for_status().json()
        return str(answer["access_token"])

    def keys(self, caller: Instance) -> Mapping[str, ECKey]:
        """Return the published keys."""
        with self.client(caller) as client:
            return read_key_set(client.get("/jwks").raise_for_status().content)


def request(**changes: Any) -> dict[str, Any]:
    """Return the form of a good token request, but for the `changes`."""
    good = {
        "grant_type": "client_credentials",
        "client_id": "storefront",
        "resource": ORDERS_AUDIENCE,
        "scope": "orders.read",
    }
    return {name: value for name, value in {**good, **changes}.items() if value}


def client_of(caller: Instance, callee: Instance, **options: Any) -> httpx.Client:
    """Return a client that keeps its connections."""
    # What a caller of another trust domain has to be told.
    trust = TrustBundle(callee.mesh.trust_domain, (callee.mesh.root,))
    context = client_context(caller.generation, callee.spiffe_id, trust)
    return httpx.Client(verify=context, trust_env=False, timeout=10, **options)


@contextmanager
def token_service(
    mesh: Mesh,
    serve: Serve,
    directory: Path,
    *,
    instance: Instance | None = None,
    app: Callable[..., Any] = create_app,
    **changes: Any,
) -> Iterator[Tokens]:
    """Run a token service whose configuration lies in `directory`."""
    clock = Clock()
    instance = instance or mesh.instance("token-service")
    own = {"state": str(directory / "state"), "clients": registrations()}
    document = write(directory, token_service_document(**{**own, **changes}))

    def read() -> TokenServiceConfig:
        config = read_config(document)
        if not isinstance(config, TokenServiceConfig):
            raise ConfigError("another kind")
        return config

    config = Watched(read, file_stamp(document), name="config", monotonic=clock.seconds)
    seen: list[Seen] = []
    before: list[Callable[[], object]] = []
    identity = instance.live(clock.seconds)
    registry = Registry(config, identity, clock=clock)
    made = recorded(app(config, registry=registry, clock=clock), seen, before)
    with serve(made, instance, anchors=registry) as running:
        yield Tokens(running, instance, document, clock, seen, before)
