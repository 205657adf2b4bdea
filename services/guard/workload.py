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
from services.config import ConfigError, ServiceConfig, read_config
from services.errors import ServiceError
from services.federation_config import Callee
from services.guard.abroad import Abroad
from services.guard.credentials import BEARER, DPOP
from services.guard.decision import Rules
from services.guard.earlier import Certificates
from services.guard.grant import Grant
from services.guard.outbound import BoundTokenAuth
from services.guard.presented import token_behind
from services.guard.prover import Prover
from services.guard.remembered import Remembered
from services.guard.replays import open_replays
from services.guard.revocations import RevocationList
from services.guard.token_service import TokenServiceClient
from services.guard.token_source import TokenSource
from services.proof.key_set import RemoteKeySet
from services.proof.opened import OpenedTokens
from services.watched import Watched, file_stamp
from services.wire.bundles import fetched_bundles
from services.wire.federation import Federation
from services.wire.generation import LiveIdentity
from services.wire.status import CertificateStatus

_TIMEOUT = 5.0  # seconds for one call: the next hop is in the same network


class UnknownCalleeError(ServiceError):
    """The topology has no edge to this service."""

    code = "unknown_callee"


class ForeignCalleeError(ServiceError):
    """The service is of another trust domain, whose tokens ours cannot become."""

    code = "foreign_callee"


class Workload:
    """The running service: its rules, its keys to check tokens, its way out."""

    def __init__(
        self,
        config: Watched[ServiceConfig],
        identity: LiveIdentity,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        first = config.current()
        self._config = config
        self.identity = identity
        self.status = CertificateStatus(lambda: self.config.revocation, clock)
        self.federation = Federation(
            lambda: self.config.federation,
            fetched=fetched_bundles(first),
            clock=clock,
        )
        self._abroad = Abroad(identity, self.federation, clock, self.status)
        token_service = TokenServiceClient(
            self._connect(first.token_service.spiffe_id),
            lambda: self.config.token_service,
        )
        self.keys = RemoteKeySet(token_service.key_set, clock)
        self.opened = OpenedTokens()
        self.remembered = Remembered(self.keys)
        self._rules: tuple[ServiceConfig, Rules] | None = None
        self.revocations = (
            RevocationList(token_service.revocations, clock)
            if first.token_service.revocations_uri
            else None
        )
        self.replays = open_replays(first, audience=first.guard.audience, clock=clock)
        self.certificates = Certificates()
        self._prover = Prover(clock) if first.binding == "dpop" else None
        self._token_service = token_service.client
        self._tokens = TokenSource(
            self._token_service,
            address=lambda: self.config.token_service,
            client_id=first.client_id,
            clock=clock,
            prover=self._prover,
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
        if self._rules is None or self._rules[0] is not config:
            self._rules = config, _rules_of(config)
        return self._rules[1]

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes under which tokens are taken."""
        if self.replays is None or not self.origins:
            return (BEARER,)
        return (BEARER, DPOP)

    @property
    def origins(self) -> tuple[str, ...]:
        """The roots by which callers reach this service, for DPoP proofs."""
        return tuple(self.config.guard.origins)

    def client(
        self, name: str, *, on_behalf_of: Grant | None = None
    ) -> httpx.AsyncClient:
        """Return the way to the service `name`; paths are relative to its root.

        Args:
            name: a service that the topology lets this one call.
            on_behalf_of: the grant of the request that is being answered, to call in
                its subject's name (RFC 8693); None calls in this service's own.

        Raises:
            UnknownCalleeError: the topology does not let this service call it.
            ForeignGrantError: the grant is not that of the present request.
            ForeignCalleeError: on behalf of somebody, to another trust domain: its
                token service knows nothing of tokens of ours.
        """
        callee = self.config.calls.get(name)
        if callee is None:
            raise UnknownCalleeError(f"the topology has no call to {name!r}")
        known = self._clients.get(name)
        if known is None or known[0] != callee:
            known = (
                callee,
                self._connect(
                    callee.spiffe_id, base_url=_root(callee), auth=self._auth(callee)
                ),
            )
            self._clients[name] = known
        if on_behalf_of is None:
            return known[1]
        if callee.token_service is not None:
            raise ForeignCalleeError(f"{name!r} is called in this service's own name")
        # The connections are shared; what is sent on them is this request's alone.
        return httpx.AsyncClient(
            transport=_Shared(known[1]._transport),  # noqa: SLF001 - no other way
            base_url=_root(callee),
            auth=self._auth(callee, token_behind(on_behalf_of)),
            timeout=_TIMEOUT,
            trust_env=False,
        )

    def _auth(self, callee: Callee, subject_token: str | None = None) -> BoundTokenAuth:
        return BoundTokenAuth(
            self._abroad.tokens(callee) or self._tokens,
            self.identity,
            resource=callee.audience,
            # An exchange reaches as far as the scopes that the caller brought.
            scopes=frozenset(callee.scopes) if subject_token is None else frozenset(),
            subject_token=subject_token,
            prover=None if callee.token_service else self._prover,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        for _, client in self._clients.values():
            await client.aclose()
        await self._token_service.aclose()
        await self._abroad.aclose()
        await self.status.aclose()
        if self.replays is not None:
            await self.replays.store.aclose()

    def _connect(
        self,
        spiffe_id: str,
        *,
        base_url: str = "",
        auth: httpx.Auth | None = None,
    ) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            transport=self._abroad.transport(spiffe_id),
            base_url=base_url,
            auth=auth,
            timeout=_TIMEOUT,
            trust_env=False,
        )


class _Shared(httpx.AsyncBaseTransport):
    """Another client's connections, which stay open when this one is closed."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send `request` on one of them."""
        return await self._transport.handle_async_request(request)


def _rules_of(config: ServiceConfig) -> Rules:
    return Rules(
        issuer=config.token_service.issuer,
        audience=config.guard.audience,
        bearer_clients=frozenset(config.guard.bearer_clients),
    )


def _root(callee: Callee) -> str:
    return str(httpx.URL(callee.url).copy_with(path="/"))


def read_service_config(path: Path) -> ServiceConfig:
    """Read the configuration of a resource service.

    Raises:
        ConfigError: as `read_config`, or it describes another kind of process.
    """
    config = read_config(path)
    if not isinstance(config, ServiceConfig):
        raise ConfigError(f"{path}: kind is not 'service'")
    return config
