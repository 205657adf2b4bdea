"""What was rolled out, as `certs/deployment.json` tells it to machines.

The roll-out writes it; the probe and the drill read it. Paths in it are relative to
the project's root.
"""

from pathlib import Path

import msgspec

from services.config import ConfigError


class Call(msgspec.Struct, frozen=True):
    """An edge of the topology: a service that may be called, and the scopes."""

    service: str
    scopes: list[str]


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """A process with an identity: where it listens and what it presents."""

    host: str
    spiffe_id: str
    dns_names: list[str]
    address: str
    port: int
    certificate: Path
    private_key: Path

    @property
    def trust_bundle(self) -> Path:
        """The roots that it believes; they lie beside its certificate."""
        return self.certificate.with_name("bundle.pem")


class TokenServiceParty(Party, frozen=True, kw_only=True):
    """The token service."""

    token_endpoint: str
    jwks_uri: str


class ServiceParty(Party, frozen=True, kw_only=True):
    """A resource service; `url` is a guarded GET resource of it."""

    url: str
    audience: str
    scopes: list[str]
    client_id: str
    calls: list[Call]

    def scopes_at(self, callee: str) -> list[str]:
        """Return the scopes it may use at `callee`; none if it may not call it."""
        return next((call.scopes for call in self.calls if call.service == callee), [])


class Instance(Party, frozen=True, kw_only=True):
    """A service on one host; `url` is its guarded resource, by the host's own name."""

    service: str
    instance: str
    url: str = ""

    def is_meant_by(self, only: str) -> bool:
        """Return whether `only` names it: `orders`, `orders@host-1` or `@host-1`."""
        service, _, host = only.partition("@")
        return service in {"", self.service} and host in {"", self.host}


class RouteParty(msgspec.Struct, frozen=True, kw_only=True):
    """Where a path of a gateway leads, and the scopes it takes to go there."""

    service: str
    scopes: list[str]
    optional_scopes: list[str] = []


class GatewayParty(Party, frozen=True, kw_only=True):
    """A gateway at the edge; `url` is its root, and `routes` begin there."""

    url: str
    audience: str
    client_id: str
    routes: dict[str, RouteParty]  # by the prefix of the path

    @property
    def calls(self) -> list[Call]:
        """Each service behind it, with what may be asked for there."""
        scopes: dict[str, dict[str, None]] = {}
        for route in self.routes.values():
            asked = (*route.scopes, *route.optional_scopes)
            scopes.setdefault(route.service, {}).update(dict.fromkeys(asked))
        return [Call(service, list(known)) for service, known in scopes.items()]

    def scopes_at(self, callee: str) -> list[str]:
        """Return the scopes it may use at `callee`; none if it does not lead there."""
        return next((call.scopes for call in self.calls if call.service == callee), [])

    def path_for(self, scopes: list[str]) -> str:
        """Return a path that `scopes` open; if there is none, any that leads on."""
        opened = [
            prefix
            for prefix, route in self.routes.items()
            if set(route.scopes) <= set(scopes)
        ]
        return (opened or list(self.routes))[0]


class KeyClients(msgspec.Struct, frozen=True, kw_only=True):
    """Clients of the drill whose tokens are bound to a DPoP key."""

    client: str
    brief_client: str


class PhantomClients(msgspec.Struct, frozen=True, kw_only=True):
    """Clients of the drill whose tokens are opaque, and the gateway these are for."""

    gateway: str
    client: str
    brief_client: str


class Onward(msgspec.Struct, frozen=True, kw_only=True):
    """The service for which the target exchanges the victim's tokens."""

    service: str
    brief_client: str


class DrillParties(msgspec.Struct, frozen=True, kw_only=True):
    """Who plays in the drill: service names and client ids."""

    victim: str
    target: str
    thief: str
    bearer_client: str
    bearer_brief_client: str
    brief_client: str
    dpop: KeyClients | None = None  # kinds of tokens that this drill leaves out
    phantom: PhantomClients | None = None
    exchanged: Onward | None = None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """The whole roll-out."""

    issuer: str
    metadata_url: str
    trust_bundle: Path
    trust_domain: str
    token_service: TokenServiceParty
    services: dict[str, ServiceParty]
    gateways: dict[str, GatewayParty] = {}
    instances: list[Instance] = []
    drill: DrillParties | None = None
    # Never in a file: what the drill on the host before hands on to this one.
    handed_on: msgspec.Raw = msgspec.Raw()

    @property
    def workloads(self) -> dict[str, ServiceParty | GatewayParty]:
        """Everything that a token may be for."""
        return {**self.services, **self.gateways}

    @property
    def parties(self) -> list[Instance]:
        """Every process; where only services are described, one of each."""
        if self.instances:
            return self.instances
        described = {"token-service": self.token_service, **self.workloads}
        return [
            Instance(
                service=name,
                instance=f"{name}@{party.host}",
                url=getattr(party, "url", ""),
                **{field: getattr(party, field) for field in Party.__struct_fields__},
            )
            for name, party in described.items()
        ]


def read_deployment(path: Path, project: Path) -> Deployment:
    """Read the description at `path`; its paths are taken from `project`.

    Raises:
        ConfigError: it is missing or not what the roll-out writes.
    """

    def decode(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str):
            return project / value
        raise ValueError(f"expected a path, got {value!r}")

    try:
        return msgspec.json.decode(path.read_bytes(), type=Deployment, dec_hook=decode)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from None
