"""Tokens for services of other trust domains, each from that domain's token service.

A token is good where its issuer is believed, so the caller asks the callee's token
service. It shows the certificate of its own trust domain there, which is registered
under its SPIFFE ID, and the token is bound to that certificate as at home (RFC 8705,
section 3). Each of these services is met by its own domain's bundle alone.
"""

from collections.abc import Callable
from datetime import datetime

import httpx

from pki.identity import SpiffeId
from services.federation_config import Callee, TokenServiceAddress
from services.guard.token_source import TokenSource
from services.wire.client import IdentityTransport
from services.wire.federation import Federation
from services.wire.generation import LiveIdentity
from services.wire.status import CertificateStatus

_TIMEOUT = 5.0  # seconds, as for a call


class Abroad:
    """The ways to other trust domains, and where their tokens come from."""

    def __init__(
        self,
        identity: LiveIdentity,
        federation: Federation,
        clock: Callable[[], datetime],
        status: CertificateStatus,
    ) -> None:
        self._identity = identity
        self._status = status
        self._federation = federation
        self._clock = clock
        self._sources: dict[
            TokenServiceAddress, tuple[httpx.AsyncClient, TokenSource]
        ] = {}

    def transport(self, spiffe_id: str) -> IdentityTransport:
        """Return the way to somebody, by the bundle of his trust domain."""
        expected = SpiffeId.parse(spiffe_id)
        domain = expected.trust_domain
        if domain == self._identity.expected.trust_domain:
            return IdentityTransport(self._identity, expected, status=self._status)
        return IdentityTransport(
            self._identity,
            expected,
            lambda: self._federation.bundle(domain),
            self._federation.status(domain),
        )

    def tokens(self, callee: Callee) -> TokenSource | None:
        """Return where tokens for `callee` come from, None if that is at home."""
        address = callee.token_service
        if address is None:
            return None
        if address not in self._sources:
            client = httpx.AsyncClient(
                transport=self.transport(address.spiffe_id),
                timeout=_TIMEOUT,
                trust_env=False,
            )
            source = TokenSource(
                client,
                address=lambda: address,
                client_id=str(self._identity.expected),
                clock=self._clock,
            )
            self._sources[address] = client, source
        return self._sources[address][1]

    async def aclose(self) -> None:
        """Close every connection to a token service."""
        for client, _ in self._sources.values():
            await client.aclose()
