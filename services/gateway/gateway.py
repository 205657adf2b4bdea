"""The gateway as its own process sees it: who it is, whom it asks, whom it calls.

    gateway = Gateway.load("config.json")
    app = create_app(gateway)

Everything follows the disk: a new certificate and a new configuration are taken while
the process runs.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import httpx

from pki.clock import utc_now
from pki.identity import SpiffeId
from services.buckets import Buckets
from services.config import ConfigError, GatewayConfig, read_config
from services.gateway.guesses import Guesses
from services.gateway.introspector import Introspector
from services.gateway.routes import Route
from services.gateway.verdicts import Verdicts
from services.guard.credentials import BEARER, DPOP
from services.guard.grant import Grant
from services.guard.outbound import BoundTokenAuth
from services.guard.replays import open_replays
from services.guard.token_service import TokenServiceClient
from services.guard.token_source import TokenSource
from services.proof.key_set import RemoteKeySet
from services.watched import Watched, file_stamp
from services.wire.client import IdentityTransport
from services.wire.generation import LiveIdentity
from services.wire.status import CertificateStatus

# Seconds for each step of a question to the token service: an answer that is as old as
# a revocation may stay unknown is not believed any more.
_TIMEOUT = 2.0


class Gateway:
    """The running gateway: its rules, its questions, its ways on."""

    def __init__(
        self,
        config: Watched[GatewayConfig],
        identity: LiveIdentity,
        *,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        first = config.current()
        self._config = config
        self.identity = identity
        self.clock = clock
        self.status = CertificateStatus(lambda: self.config.revocation, clock)
        self._token_service = httpx.AsyncClient(
            transport=self._transport(first.token_service.spiffe_id),
            timeout=_TIMEOUT,
            trust_env=False,
        )
        service = TokenServiceClient(
            self._token_service, lambda: self.config.token_service
        )
        self.keys = RemoteKeySet(service.key_set, clock)
        introspector = Introspector(
            self._token_service,
            address=lambda: self.config.token_service,
            keys=self.keys,
            client_id=first.client_id,
            audience=first.audience,
            clock=clock,
        )
        guesses = Guesses(lambda: self.config.inactive_tokens, Buckets())
        self.verdicts = Verdicts(introspector.ask, clock, guesses=guesses)
        self.replays = open_replays(first, audience=first.audience, clock=clock)
        self._tokens = TokenSource(
            self._token_service,
            address=lambda: self.config.token_service,
            client_id=first.client_id,
            clock=clock,
        )
        self._upstreams: dict[str, IdentityTransport] = {}

    @classmethod
    def load(cls, path: str | Path) -> "Gateway":
        """Return the gateway that the configuration document at `path` describes.

        Raises:
            ConfigError: the document is missing, wrong, or not a gateway's.
            GenerationError: the identity it names cannot be used.
        """
        path = Path(path)
        config = Watched(
            lambda: read_gateway_config(path), file_stamp(path), name=str(path)
        )
        first = config.current()
        return cls(
            config, LiveIdentity(first.identity, SpiffeId.parse(first.spiffe_id))
        )

    @property
    def config(self) -> GatewayConfig:
        """Today's configuration."""
        return self._config.current()

    @property
    def trust_domain(self) -> str:
        """The domain that every caller's name must belong to."""
        return self.config.trust_domain

    @property
    def origins(self) -> tuple[str, ...]:
        """The roots by which callers reach this gateway, for DPoP proofs."""
        return tuple(self.config.origins)

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes under which tokens are taken."""
        return (BEARER, DPOP) if self.replays and self.origins else (BEARER,)

    def client(self, route: Route, grant: Grant, token: str) -> httpx.AsyncClient:
        """Return the way to the upstream of `route`, for one request.

        It sends a token of the gateway's own, for which the caller's is exchanged (RFC
        8693): bound to the gateway's certificate, the caller its subject. It is not to
        be closed: the connections below it are everybody's. Nothing else is: a client
        for all would keep one caller's cookies and send them for the next.
        """
        upstream = route.upstream
        asked = {*upstream.scopes, *(grant.scopes & {*upstream.optional_scopes})}
        auth = BoundTokenAuth(
            self._tokens,
            self.identity,
            resource=upstream.audience,
            scopes=frozenset(asked),
            subject_token=token,
        )
        transport = self._upstreams.get(upstream.spiffe_id)
        if transport is None:
            transport = self._transport(upstream.spiffe_id)
            self._upstreams[upstream.spiffe_id] = transport
        return httpx.AsyncClient(transport=transport, auth=auth, trust_env=False)

    async def aclose(self) -> None:
        """Close every connection."""
        for transport in self._upstreams.values():
            await transport.aclose()
        await self._token_service.aclose()
        await self.status.aclose()
        if self.replays is not None:
            await self.replays.store.aclose()

    def _transport(self, spiffe_id: str) -> IdentityTransport:
        return IdentityTransport(
            self.identity, SpiffeId.parse(spiffe_id), status=self.status
        )


def read_gateway_config(path: Path) -> GatewayConfig:
    """Read the configuration of a gateway.

    Raises:
        ConfigError: as `read_config`, or it describes another kind of process.
    """
    config = read_config(path)
    if not isinstance(config, GatewayConfig):
        raise ConfigError(f"{path}: kind is not 'gateway'")
    return config
