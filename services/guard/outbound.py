"""Call other services: with a token bound to today's certificate (RFC 8705, section 3).

`TokenSource` fetches tokens from the token service and keeps them, keyed by everything
a token depends on: issuer, resource, scope and the certificate's thumbprint. After a
renewal the thumbprint is another, so the old token is never sent again.

`BoundTokenAuth` is an `httpx.Auth` that puts such a token on each request, and pins the
request to the connection pool of the certificate it is bound to.
"""

from asyncio import Lock
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from logging import WARNING
from typing import Annotated, NamedTuple, NoReturn

import httpx
import msgspec
from msgspec import Meta

from services import log
from services.errors import ServiceError
from services.wire.client import GENERATION
from services.wire.generation import Generation, LiveIdentity

_LONGEST_LIFE = 86_400  # seconds; no honest token service of ours comes near
_RENEW_AT = 0.8  # of a token's life: time enough to try again before it ends


class TokenUnavailableError(ServiceError):
    """The token service gave no token; `code` is the one it answered with."""

    code = "temporarily_unavailable"

    def __init__(self, message: str, code: str = code) -> None:
        super().__init__(message)
        self.code = code


class TokenKey(NamedTuple):
    """Everything that a token depends on."""

    issuer: str
    resource: str
    scope: str
    thumbprint: str


@dataclass(frozen=True, slots=True)
class HeldToken:
    """A token of ours, and when to fetch the next one."""

    text: str
    renew_at: datetime
    expires_at: datetime


class _Answer(msgspec.Struct):
    """What a token response must be to be used; more than that is ignored."""

    access_token: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._~+/-]+=*\Z")]
    # RFC 6749, section 7.1: a token of a type that is not understood is not used.
    token_type: Annotated[str, Meta(pattern=r"^(?i:bearer)\Z")]
    expires_in: Annotated[int, Meta(ge=1, le=_LONGEST_LIFE)]


class _Error(msgspec.Struct):
    error: str


class TokenSource:
    """Tokens for one client, fetched when needed and kept while they are good."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        issuer: str,
        token_endpoint: str,
        client_id: str,
        clock: Callable[[], datetime],
    ) -> None:
        """Ask `token_endpoint` through `client`, which presents the certificate."""
        self._client = client
        self._issuer = issuer
        self._endpoint = token_endpoint
        self._client_id = client_id
        self._clock = clock
        self._held: dict[TokenKey, HeldToken] = {}
        self._locks: defaultdict[TokenKey, Lock] = defaultdict(Lock)

    async def token(
        self, resource: str, scope: str, generation: Generation
    ) -> HeldToken:
        """Return a token for `resource`, bound to the certificate of `generation`.

        Raises:
            TokenUnavailableError: none is held and none can be had.
        """
        key = TokenKey(self._issuer, resource, scope, generation.thumbprint)
        async with self._locks[key]:
            held = self._held.get(key)
            if held is None or self._clock() >= held.renew_at:
                held = await self._renew(key, held, generation)
            return held

    def drop(self, token: HeldToken) -> None:
        """Forget a token that a resource service has refused."""
        self._held = {key: held for key, held in self._held.items() if held != token}

    async def _renew(
        self, key: TokenKey, held: HeldToken | None, generation: Generation
    ) -> HeldToken:
        try:
            renewed = await self._fetch(key, generation)
        except TokenUnavailableError as error:
            if held is None or self._clock() >= held.expires_at:
                raise
            log.event("token.renewal_failed", level=WARNING, reason=error)
            return held
        # Tokens bound to an earlier certificate are of no use to anybody any more.
        for stale in [old for old in self._held if old.thumbprint != key.thumbprint]:
            del self._held[stale]
            self._locks.pop(stale, None)
        self._held[key] = renewed
        return renewed

    async def _fetch(self, key: TokenKey, generation: Generation) -> HeldToken:
        asked_at = self._clock()
        try:
            response = await self._client.post(
                self._endpoint,
                data={
                    "grant_type": "client_credentials",
                    "client_id": self._client_id,
                    "resource": key.resource,
                    "scope": key.scope,
                },
                extensions={GENERATION: generation},
            )
        except httpx.HTTPError as error:
            raise TokenUnavailableError(
                f"token service: {type(error).__name__}: {error}"
            ) from error
        if not response.is_success:
            _refuse(response)
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except msgspec.DecodeError:
            raise TokenUnavailableError("token service: unreadable answer") from None
        life = timedelta(seconds=answer.expires_in)
        return HeldToken(
            answer.access_token, asked_at + life * _RENEW_AT, asked_at + life
        )


class BoundTokenAuth(httpx.Auth):
    """Authorise each request with a token for one resource."""

    def __init__(
        self,
        source: TokenSource,
        identity: LiveIdentity,
        *,
        resource: str,
        scopes: frozenset[str],
    ) -> None:
        self._source = source
        self._identity = identity
        self._resource = resource
        self._scope = " ".join(sorted(scopes))

    def sync_auth_flow(self, request: httpx.Request) -> NoReturn:  # noqa: ARG002
        """Refuse: tokens are fetched without blocking, so use `AsyncClient`."""
        raise RuntimeError("BoundTokenAuth needs httpx.AsyncClient")

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the request with a token; after a 401, once more with a new one."""
        response = yield await self._authorise(request)
        if response.status_code != httpx.codes.UNAUTHORIZED or not _can_repeat(request):
            return
        self._source.drop(request.extensions[_TOKEN])
        yield await self._authorise(request)

    async def _authorise(self, request: httpx.Request) -> httpx.Request:
        generation = self._identity.current()
        token = await self._source.token(self._resource, self._scope, generation)
        request.headers["Authorization"] = f"Bearer {token.text}"
        # The token and the connection must show the same certificate.
        request.extensions |= {GENERATION: generation, _TOKEN: token}
        return request


_TOKEN = "certbound.token"  # noqa: S105 - the name of an httpx extension


def _can_repeat(request: httpx.Request) -> bool:
    """Return whether the body is still there to be sent a second time."""
    return isinstance(request.stream, httpx.ByteStream)


def _refuse(response: httpx.Response) -> NoReturn:
    try:
        code = msgspec.json.decode(response.content, type=_Error).error
    except msgspec.DecodeError:
        code = TokenUnavailableError.code
    raise TokenUnavailableError(
        f"token service answered {response.status_code} {code}", code
    )
