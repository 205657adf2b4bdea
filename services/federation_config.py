"""Other trust domains, as documents name them: each with a bundle of its own.

`services.wire.federation` acts by it. Nothing here merges two domains: a bundle speaks
for the one domain that it stands under.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from pki.errors import PkiError
from pki.identity import SpiffeId, trust_domain_uri
from services.registration.terms import Text, Url


class BundleEndpoint(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Where a trust domain publishes its bundle (SPIFFE_Federation.md, 5.2.2)."""

    url: Url
    spiffe_id: Text  # whom to meet there, by the bundle that is held already


class FederatedDomain(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """A trust domain beside our own."""

    bundle: Path  # PEM or a SPIFFE bundle; missing or unreadable: nothing is trusted
    endpoint: BundleEndpoint | None = None  # None: the file alone says what is trusted
    callers: tuple[Text, ...] = ()  # SPIFFE IDs of it that may call this process


class Named(Protocol):
    """Whoever has a SPIFFE ID."""

    @property
    def spiffe_id(self) -> str:
        """The ID."""


class Called(Named, Protocol):
    """Whoever is called."""

    @property
    def token_service(self) -> Named | None:
        """Who issues tokens for it, if that is not our own token service."""


Federation = Mapping[str, FederatedDomain]  # by trust domain


def check_federation(own: str, federation: Federation) -> None:
    """Check that every part of it is of the domain it stands under.

    Raises:
        ValueError: a domain is malformed or our own, or names somebody of another.
    """
    for domain, said in federation.items():
        if domain == own:
            raise ValueError("federation: our own trust domain is the identity's")
        try:
            trust_domain_uri(domain)
            named = [SpiffeId.parse(name) for name in said.callers]
            if said.endpoint is not None:
                named.append(SpiffeId.parse(said.endpoint.spiffe_id))
        except PkiError as error:
            raise ValueError(f"federation: {error}") from error
        foreign = [str(name) for name in named if name.trust_domain != domain]
        if foreign:
            raise ValueError(f"federation: {foreign} not of {domain}")


def check_callee(own: str, federation: Federation, callee: Called) -> None:
    """Check that whoever is called abroad is met there, with a token from there.

    Raises:
        ValueError: its domain is unknown, or its token service is of another one.
    """
    domain, tokens = SpiffeId.parse(callee.spiffe_id).trust_domain, callee.token_service
    if domain != own and domain not in federation:
        raise ValueError(f"calls: {callee.spiffe_id} is of no domain in federation")
    issuing = SpiffeId.parse(tokens.spiffe_id).trust_domain if tokens else own
    if issuing != domain or (tokens and domain == own):
        raise ValueError(
            f"calls: {callee.spiffe_id} takes tokens of its own trust domain alone"
        )
