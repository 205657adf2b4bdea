"""Fetch access tokens and keep them while they are good (RFC 6749, RFC 8693).

Tokens are kept by everything they depend on: issuer, resource, scope, the certificate's
thumbprint, and the token they were exchanged for. After a renewal the thumbprint is
another, so a token that is bound to the earlier certificate is never sent again.
"""

from asyncio import Lock
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from logging import WARNING
from typing import Annotated, NamedTuple, NoReturn

import httpx
import msgspec
from msgspec import Meta

from services import log
from services.errors import ServiceError
from services.federation_config import TokenServiceAddress
from services.guard.prover import Prover
from services.wire.client import GENERATION
from services.wire.generation import Generation

_LONGEST_LIFE = 86_400  # seconds; no honest token service of ours comes near
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_PAUSE = timedelta(seconds=5)  # between tries to renew a token that is still good
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
    subject: str = ""  # hash of the token it was exchanged for, if it was


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
    token_type: Annotated[str, Meta(pattern=r"^(?i:bearer|dpop)\Z")]
    expires_in: Annotated[int, Meta(ge=1, le=_LONGEST_LIFE)]


class _Error(msgspec.Struct):
    error: str


class TokenSource:
    """Tokens for one client, fetched when needed and kept while they are good."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        *,
        address: Callable[[], TokenServiceAddress],
        client_id: str,
        clock: Callable[[], datetime],
        prover: Prover | None = None,
    ) -> None:
        """Ask at today's `address` through `client`, which presents the certificate."""
        self._prover = prover
        self._client = client
        self._address = address
        self._client_id = client_id
        self._clock = clock
        self._held: dict[TokenKey, HeldToken] = {}
        self._locks: defaultdict[TokenKey, Lock] = defaultdict(Lock)

    async def token(
        self,
        resource: str,
        scope: str,
        generation: Generation,
        subject_token: str | None = None,
    ) -> HeldToken:
        """Return a token for `resource`, bound to what is held now.

        Args:
            resource: the audience.
            scope: the scopes, or nothing for all there is.
            generation: the certificate to ask with.
            subject_token: a token that was sent to this service, to exchange; None
                asks for a token in its own name.

        Raises:
            TokenUnavailableError: none is held and none can be had.
        """
        subject = sha256(subject_token.encode()).hexdigest() if subject_token else ""
        issuer = self._address().issuer
        key = TokenKey(issuer, resource, scope, generation.thumbprint, subject)
        async with self._locks[key]:
            held = self._held.get(key)
            if held is None or self._clock() >= held.renew_at:
                form = self._form(key, subject_token)
                held = await self._renew(key, held, form, generation)
            return held

    def drop(self, token: HeldToken) -> None:
        """Forget a token that a resource service has refused."""
        self._held = {key: held for key, held in self._held.items() if held != token}

    async def _renew(
        self,
        key: TokenKey,
        held: HeldToken | None,
        form: dict[str, str],
        generation: Generation,
    ) -> HeldToken:
        try:
            renewed = await self._fetch(form, generation)
        except TokenUnavailableError as error:
            if held is None or self._clock() >= held.expires_at:
                raise
            log.event("token.renewal_failed", level=WARNING, reason=error)
            # Not at every call: the one who waits for the answer holds the lock.
            again = min(self._clock() + _PAUSE, held.expires_at)
            held = replace(held, renew_at=again)
            self._held[key] = held
            return held
        self._forget(key.thumbprint)
        self._held[key] = renewed
        return renewed

    def _forget(self, thumbprint: str) -> None:
        """Drop what is over, and what is bound to an earlier certificate."""
        now = self._clock()
        for key, held in list(self._held.items()):
            if held.expires_at <= now or key.thumbprint != thumbprint:
                del self._held[key]
        for key, lock in list(self._locks.items()):
            if key not in self._held and not lock.locked():
                del self._locks[key]

    def _form(self, key: TokenKey, subject_token: str | None) -> dict[str, str]:
        form = {"client_id": self._client_id, "resource": key.resource}
        if key.scope:
            form["scope"] = key.scope
        if subject_token is None:
            return {"grant_type": "client_credentials", **form}
        return {
            "grant_type": TOKEN_EXCHANGE,
            "subject_token": subject_token,
            "subject_token_type": ACCESS_TOKEN_TYPE,
            **form,
        }

    async def _fetch(self, form: dict[str, str], generation: Generation) -> HeldToken:
        asked_at = self._clock()
        try:
            response = await self._ask(form, generation)
            if self._prover is not None and self._prover.learn(response):
                response = await self._ask(form, generation)
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
        if (answer.token_type.lower() == "dpop") != (self._prover is not None):
            # RFC 9449, section 5: a token that is not bound to the key is not used.
            raise TokenUnavailableError(f"token service: a {answer.token_type} token")
        life = timedelta(seconds=answer.expires_in)
        return HeldToken(
            answer.access_token, asked_at + life * _RENEW_AT, asked_at + life
        )

    async def _ask(
        self, form: dict[str, str], generation: Generation
    ) -> httpx.Response:
        request = self._client.build_request(
            "POST",
            self._address().token_endpoint,
            data=form,
            extensions={GENERATION: generation},
        )
        if self._prover is not None:
            self._prover.prove(request)
        return await self._client.send(request)


def _refuse(response: httpx.Response) -> NoReturn:
    try:
        code = msgspec.json.decode(response.content, type=_Error).error
    except msgspec.DecodeError:
        code = TokenUnavailableError.code
    raise TokenUnavailableError(
        f"token service answered {response.status_code} {code}", code
    )
