"""One client of the token service, as its configuration registers it.

`config` reads it with the rest of the document, strictly; `token.clients` makes of it
what the endpoints ask for.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pki.errors import PkiError
from pki.identity import SpiffeId, trust_domain_uri
from services.registration.methods import (
    Method,
    PrivateKeyJwt,
    SelfSigned,
    SpiffeX509,
    SubjectMatch,
)
from services.registration.terms import Scope, Scopes, Url

# In the words of RFC 8414's token_endpoint_auth_methods_supported.
METHODS = (
    "tls_client_auth",
    "self_signed_tls_client_auth",
    "private_key_jwt",
    "spiffe_x509",
)


class ClientConfig(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """One registered client of the token service."""

    tls_client_auth: SubjectMatch | None = None  # exactly one of these four
    self_signed_tls_client_auth: SelfSigned | None = None
    private_key_jwt: PrivateKeyJwt | None = None
    spiffe_x509: SpiffeX509 | None = None
    audiences: dict[Url, Scopes]  # what it may ask for, and with which scopes
    lifetime: Annotated[int, Meta(ge=1, le=3600)]  # seconds
    binding: Literal["certificate", "dpop", "none"]  # "none" issues bearer tokens
    format: Literal["jwt", "opaque"] = "jwt"
    audience: Url | None = None  # what it is itself, as a resource service
    # For a token that was sent to it, by the scope in that token: what it may get from
    # others on behalf of who sent it (RFC 8693).
    delegates: dict[Scope, dict[Url, Scopes]] = {}

    def __post_init__(self) -> None:
        given = [name for name in METHODS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"exactly one of {list(METHODS)} is needed, got {given}")

    @property
    def method(self) -> tuple[str, Method]:
        """The one method it authenticates by: its name (RFC 8414), and the rest."""
        return next(
            (name, method)
            for name in METHODS
            if (method := getattr(self, name)) is not None
        )


def check_trust_domains(
    own: str, others: Iterable[str], clients: Mapping[str, ClientConfig]
) -> None:
    """Check that the roots of every client's trust domain are known.

    Args:
        own: our trust domain, whose roots come with the identity.
        others: the trust domains whose roots the configuration names.
        clients: all clients by their ids.

    Raises:
        ValueError: a domain is malformed or unknown, or our own is named twice.
    """
    known = {own, *others}
    for domain in others:
        try:
            trust_domain_uri(domain)
        except PkiError as error:
            raise ValueError(f"trust_bundles: {error}") from error
        if domain == own:
            raise ValueError(
                "trust_bundles: those of our own domain are the identity's"
            )
    for client_id, client in clients.items():
        named = _trust_domain(client_id, client)
        if named is not None and named not in known:
            raise ValueError(f"clients: {client_id!r} is of {named}, without a bundle")


def _trust_domain(client_id: str, client: ClientConfig) -> str | None:
    """Return the trust domain that a client says to be of."""
    _, method = client.method
    if isinstance(method, SubjectMatch):
        return method.trust_domain
    if isinstance(method, SpiffeX509):
        try:
            return SpiffeId.parse(client_id).trust_domain
        except PkiError as error:
            raise ValueError(f"clients: spiffe_x509: {error}") from error
    return None
