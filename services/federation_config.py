"""Whom a process calls, at home or in another trust domain, as documents name them.

Each other trust domain has a bundle of its own; `services.wire.federation` acts by it.
Nothing here merges two domains: a bundle speaks for the one that it stands under.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from pki.errors import PkiError
from pki.identity import SpiffeId, trust_domain_uri
from services.registration.terms import Scopes, Text, Url
from services.revocation_config import RevocationConfig


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
    revocation: RevocationConfig | None = None  # None: its lists are not looked at


class TokenServiceAddress(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """Where the token service is, and who it must prove to be."""

    issuer: Url
    token_endpoint: Url
    jwks_uri: Url
    spiffe_id: Text
    revocations_uri: Url | None = None  # None: revoked tokens live until they expire
    introspection_endpoint: Url | None = None  # a gateway needs it

    def __post_init__(self) -> None:
        domain_of(self.spiffe_id)


class Callee(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service that this one may call."""

    url: Url
    spiffe_id: Text
    audience: Url
    scopes: Scopes
    token_service: TokenServiceAddress | None = None  # of another trust domain, its own

    def __post_init__(self) -> None:
        domain_of(self.spiffe_id)


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
        except PkiError as error:
            raise ValueError(f"federation: {error}") from error
        endpoint = [said.endpoint.spiffe_id] if said.endpoint else []
        named = [*said.callers, *endpoint]
        foreign = [name for name in named if domain_of(name) != domain]
        if foreign:
            raise ValueError(f"federation: {foreign} not of {domain}")


def domain_of(spiffe_id: str) -> str:
    """Return the trust domain of somebody, when his name is read.

    Raises:
        ValueError: it is no name: the first call would be too late to refuse it.
    """
    try:
        return SpiffeId.parse(spiffe_id).trust_domain
    except PkiError as error:
        # msgspec adds the place in the document to a ValueError alone.
        raise ValueError(f"spiffe_id: {error}") from error


def check_callees(own: str, federation: Federation, callees: Iterable[Callee]) -> None:
    """Check that whoever is called abroad is met there, with a token from there.

    Raises:
        ValueError: a domain is unknown, or a token service is of another one.
    """
    for callee in callees:
        name, tokens = callee.spiffe_id, callee.token_service
        domain = domain_of(name)
        if domain != own and domain not in federation:
            raise ValueError(f"calls: {name} is of no domain in federation")
        issuing = domain_of(tokens.spiffe_id) if tokens else own
        if issuing != domain or (tokens and domain == own):
            raise ValueError(f"calls: {name} takes tokens of its own domain alone")
