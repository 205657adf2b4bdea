"""Call other services with a token bound to what this one holds (RFC 8705, RFC 9449).

`BoundTokenAuth` is an `httpx.Auth` that puts a token on each request, and pins the
request to the connection pool of the certificate the token is bound to. Tokens come
from `token_source`, proofs of a DPoP key from `prover`.
"""

from collections.abc import AsyncGenerator
from typing import NoReturn

import httpx

from services.guard.prover import Prover
from services.guard.token_source import HeldToken, TokenSource
from services.wire.client import GENERATION
from services.wire.generation import LiveIdentity


class BoundTokenAuth(httpx.Auth):
    """Authorise each request with a token for one resource."""

    def __init__(  # noqa: PLR0913 - what a token depends on
        self,
        source: TokenSource,
        identity: LiveIdentity,
        *,
        resource: str,
        scopes: frozenset[str],
        subject_token: str | None = None,
        prover: Prover | None = None,
    ) -> None:
        """Prepare to call `resource`.

        Args:
            source: where tokens come from.
            identity: the certificates to present.
            resource: the audience of the tokens.
            scopes: what to ask for; none asks for all there is.
            subject_token: the token to exchange, to call in its subject's name.
            prover: makes DPoP proofs, if tokens are bound to its key.
        """
        self._source = source
        self._identity = identity
        self._resource = resource
        self._scope = " ".join(sorted(scopes))
        self._subject_token = subject_token
        self._prover = prover

    def sync_auth_flow(self, request: httpx.Request) -> NoReturn:  # noqa: ARG002
        """Refuse: tokens are fetched without blocking, so use `AsyncClient`."""
        raise RuntimeError("BoundTokenAuth needs httpx.AsyncClient")

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with a token; after a 401, once more with a new one.

        A server that asks for a DPoP nonce is answered once, with the same token.
        """
        token = await self._authorise(request)
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED or not _can_repeat(request):
            self._learn(response)
            return
        if self._learn(response) and self._prover is not None:
            self._prover.prove(request, token.text)
            response = yield request
            self._learn(response)
            if response.status_code != httpx.codes.UNAUTHORIZED:
                return
        self._source.drop(token)
        await self._authorise(request)
        yield request

    async def _authorise(self, request: httpx.Request) -> HeldToken:
        generation = self._identity.current()
        token = await self._source.token(
            self._resource, self._scope, generation, self._subject_token
        )
        scheme = "Bearer" if self._prover is None else "DPoP"
        request.headers["Authorization"] = f"{scheme} {token.text}"
        # The token and the connection must show the same certificate.
        request.extensions |= {GENERATION: generation}
        if self._prover is not None:
            self._prover.prove(request, token.text)
        return token

    def _learn(self, response: httpx.Response) -> bool:
        return self._prover is not None and self._prover.learn(response)


def _can_repeat(request: httpx.Request) -> bool:
    """Return whether the body is still there to be sent a second time."""
    return isinstance(request.stream, httpx.ByteStream)
