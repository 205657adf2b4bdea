"""A service of the topology as its own process sees it: who it is, whom it believes.

    workload = Workload.load("config.json")
    app.add_middleware(GuardMiddleware, workload=workload)
    answer = await workload.client("stock").get("/stock")

Everything follows the disk: a new certificate and a new configuration are taken while
the process runs.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx

from pki.clock import utc_now
from pki.identity import SpiffeId
from services.config import Callee, ConfigError, ServiceConfig, read_config
from services.errors import ServiceError
from services.guard.decision import Rules
from services.guard.outbound import BoundTokenAuth, TokenSource
from services.proof.key_set import KeySetUnavailableError, RemoteKeySet
from services.watched import Watched, file_stamp
from services.wire.client import IdentityTransport
from services.wire.generation import LiveIdentity

_TIMEOUT = 5.0  # seconds for one call: the next hop is in the same network


class UnknownCalleeError(ServiceError):
    """The topology has no edge to this service."""

    code = "unknown_callee"


class Workload:
    """The running service: its rules, its keys to check tokens, its way out."""

    def __init__(
        self,
        config: Watched[ServiceConfig],
        identity: LiveIdentity,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._config = config
        self.identity = identity
        address = config.current().token_service
        self._token_service = self._connect(address.spiffe_id)
        self.keys = RemoteKeySet(self._fetch_key_set, clock)
        self._tokens = TokenSource(
            self._token_service,
            issuer=address.issuer,
            token_endpoint=address.token_endpoint,
            client_id=config.current().client_id,
            clock=clock,
        )
        self._clients: dict[str, tuple[Callee, httpx.AsyncClient]] = {}

    @classmethod
    def load(cls, path: str | Path) -> "Workload":
        """Return the workload that the configuration document at `path` describes.

        Raises:
            ConfigError: the document is missing, wrong, or not a service's.
            GenerationError: the identity it names cannot be used.
        """
        path = Path(path)
        config = Watched(
            lambda: read_service_config(path), file_stamp(path), name=str(path)
        )
        first = config.current()
        return cls(
            config, LiveIdentity(first.identity, SpiffeId.parse(first.spiffe_id))
        )

    @property
    def config(self) -> ServiceConfig:
        """Today's configuration."""
        return self._config.current()

    @property
    def trust_domain(self) -> str:
        """The domain that every caller's name must belong to."""
        return self.config.trust_domain

    @property
    def rules(self) -> Rules:
        """What a token must be to be taken here."""
        config = self.config
        return Rules(
            issuer=config.token_service.issuer,
            audience=config.guard.audience,
            bearer_clients=frozenset(config.guard.bearer_clients),
        )

    def client(self, name: str) -> httpx.AsyncClient:
        """Return the way to the service `name`; paths are relative to its root.

        Raises:
            UnknownCalleeError: the topology does not let this service call it.
        """
        callee = self.config.calls.get(name)
        if callee is None:
            raise UnknownCalleeError(f"the topology has no call to {name!r}")
        known = self._clients.get(name)
        if known is not None and known[0] == callee:
            return known[1]
        client = self._connect(
            callee.spiffe_id,
            base_url=str(httpx.URL(callee.url).copy_with(path="/")),
            auth=BoundTokenAuth(
                self._tokens,
                self.identity,
                resource=callee.audience,
                scopes=frozenset(callee.scopes),
            ),
        )
        self._clients[name] = (callee, client)
        return client

    async def aclose(self) -> None:
        """Close every connection."""
        for _, client in self._clients.values():
            await client.aclose()
        await self._token_service.aclose()

    def _connect(
        self,
        spiffe_id: str,
        *,
        base_url: str = "",
        auth: httpx.Auth | None = None,
    ) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=IdentityTransport(self.identity, SpiffeId.parse(spiffe_id)),
            base_url=base_url,
            auth=auth,
            timeout=_TIMEOUT,
            trust_env=False,
        )

    async def _fetch_key_set(self) -> bytes:
        uri = self.config.token_service.jwks_uri
        try:
            response = await self._token_service.get(uri)
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise KeySetUnavailableError(
                f"{uri}: {type(error).__name__}: {error}"
            ) from error
        return response.content


def read_service_config(path: Path) -> ServiceConfig:
    """Read the configuration of a resource service.

    Raises:
        ConfigError: as `read_config`, or it describes another kind of process.
    """
    config = read_config(path)
    if not isinstance(config, ServiceConfig):
        raise ConfigError(f"{path}: kind is not 'service'")
    return config
