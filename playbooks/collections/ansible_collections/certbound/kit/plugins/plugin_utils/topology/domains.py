"""Other trust domains as a topology knows them: values, and nothing but values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Calls = Mapping[str, tuple[str, ...]]  # callee's name -> scopes


@dataclass(frozen=True)
class ForeignService:
    """A service of another trust domain, by a name of ours."""

    url: str
    spiffe_id: str
    audience: str


@dataclass(frozen=True)
class Federated:
    """Another trust domain, as this topology knows it."""

    trust_domain: str
    bundle: str  # a file on every host that needs it
    endpoint: Mapping[str, str] | None  # where it publishes that bundle
    revocation: Mapping[str, Any] | None  # where it tells of revocations
    token_service: Mapping[str, str] | None
    callers: Mapping[str, Calls]  # by SPIFFE ID of theirs: our services, with scopes
    services: Mapping[str, ForeignService]
    calls: Mapping[str, Calls]  # by service of ours: their services, with scopes

    def concerns(self, service: str) -> bool:
        """Return whether a service of ours has anything to do with the domain."""
        return service in self.calls or bool(self.callers_of(service))

    def callers_of(self, service: str) -> list[str]:
        """Return who of the domain may call a service of ours."""
        return [name for name, calls in self.callers.items() if service in calls]
