"""Who may ask for a token, and for which (RFC 6749, section 3.2.1).

The registry is the topology's: nobody registers at run time. That a request comes from
one of these clients is for `authentication` to find out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from services.registration.client import ClientConfig
from services.registration.methods import Method
from services.token.errors import (
    InvalidScopeError,
    InvalidTargetError,
    UnknownClientError,
)


@dataclass(frozen=True, slots=True)
class Client:
    """A registered client: how it is known, and what it may have."""

    client_id: str
    method: Method
    audiences: Mapping[str, frozenset[str]]
    lifetime: timedelta
    binding: str  # certificate, dpop, none
    opaque: bool
    audience: str | None
    delegates: Mapping[str, Mapping[str, frozenset[str]]]

    @classmethod
    def read(cls, client_id: str, config: ClientConfig) -> "Client":
        """Return the client that `config` registers as `client_id`."""
        _, method = config.method
        return cls(
            client_id=client_id,
            method=method,
            audiences={
                audience: frozenset(scopes)
                for audience, scopes in config.audiences.items()
            },
            lifetime=timedelta(seconds=config.lifetime),
            binding=config.binding,
            opaque=config.format == "opaque",
            audience=config.audience,
            delegates={
                held: {where: frozenset(scopes) for where, scopes in reach.items()}
                for held, reach in config.delegates.items()
            },
        )

    def scopes_at(self, resource: str, asked: str | None) -> frozenset[str]:
        """Return the scopes that a token for `resource` may carry.

        Args:
            resource: the audience asked for.
            asked: the `scope` parameter; None asks for all this client may have there
                (RFC 6749, section 3.3).

        Raises:
            InvalidTargetError: the client may not call this resource.
            InvalidScopeError: it may, but not with every scope asked for.
        """
        allowed = self.audiences.get(resource)
        if not allowed:
            raise InvalidTargetError(f"{self.client_id} may not call {resource!r}")
        if asked is None:
            return allowed
        scopes = frozenset(asked.split(" "))
        if not scopes <= allowed:
            excess = sorted(scopes - allowed)
            raise InvalidScopeError(f"{self.client_id} may not have {excess}")
        return scopes


class Clients:
    """All registered clients by their id."""

    def __init__(self, registered: Mapping[str, ClientConfig]) -> None:
        self._clients = {
            client_id: Client.read(client_id, config)
            for client_id, config in registered.items()
        }

    def client(self, client_id: str) -> Client:
        """Return the client `client_id`, whoever asks.

        Raises:
            UnknownClientError: nobody is registered under this name.
        """
        client = self._clients.get(client_id)
        if client is None:
            raise UnknownClientError(f"client {client_id!r} is not registered")
        return client
