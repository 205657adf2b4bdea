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


class DrillParties(msgspec.Struct, frozen=True, kw_only=True):
    """Who plays in the drill: service names and client ids."""

    victim: str
    target: str
    thief: str
    bearer_client: str
    bearer_brief_client: str
    brief_client: str


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """The whole roll-out."""

    issuer: str
    metadata_url: str
    trust_bundle: Path
    trust_domain: str
    token_service: TokenServiceParty
    services: dict[str, ServiceParty]
    drill: DrillParties | None = None


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
