"""Ask the token service what a token is, and believe a signed answer only.

Over the connection that presents the gateway's certificate, which is also how the token
service knows who asks (RFC 7662, section 2.1; RFC 9701, section 4).
"""

from collections.abc import Callable
from datetime import datetime

import httpx

from services.federation_config import TokenServiceAddress
from services.proof.access_token import AccessToken
from services.proof.errors import MalformedTokenError, UnknownKeyError
from services.proof.introspection import MEDIA_TYPE, parse_answer, verify_answer
from services.proof.introspection_errors import (
    AnswerKeyError,
    IntrospectionError,
    UnansweredError,
    UnsignedAnswerError,
)
from services.proof.jws import LONGEST
from services.proof.key_set import KeySetUnavailableError, RemoteKeySet


class Introspector:
    """The questions of one resource service."""

    def __init__(  # noqa: PLR0913 - who asks, whom, how and when
        self,
        client: httpx.AsyncClient,
        *,
        address: Callable[[], TokenServiceAddress],
        keys: RemoteKeySet,
        client_id: str,
        audience: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._address = address
        self._keys = keys
        self._client_id = client_id
        self._audience = audience
        self._clock = clock

    async def ask(self, unverified_token: str) -> AccessToken:
        """Return what the token is.

        Raises:
            InvalidTokenError: it is not active, or too long to be a token.
            IntrospectionError: there is no answer, or none that is believed.
        """
        # The token service would refuse the question, and that is no answer.
        if len(unverified_token) > LONGEST:
            raise MalformedTokenError(f"token longer than {LONGEST} characters")
        answer = parse_answer(await self._answer(unverified_token))
        try:
            key = await self._keys.key(answer.key_id)
        except UnknownKeyError as error:
            raise AnswerKeyError(str(error)) from None
        except KeySetUnavailableError as error:
            raise IntrospectionError(str(error)) from error
        return verify_answer(
            answer,
            key,
            issuer=self._address().issuer,
            audience=self._audience,
            now=self._clock(),
        )

    async def _answer(self, unverified_token: str) -> str:
        form = {
            "token": unverified_token,
            "token_type_hint": "access_token",
            "client_id": self._client_id,
        }
        try:
            response = await self._client.post(
                self._address().introspection_endpoint or "",
                data=form,
                headers={"Accept": MEDIA_TYPE},
            )
        except httpx.HTTPError as error:
            raise UnansweredError(
                f"token service: {type(error).__name__}: {error}"
            ) from error
        if response.status_code != httpx.codes.OK:
            raise UnansweredError(f"token service answered {response.status_code}")
        kind = response.headers.get("content-type", "").partition(";")[0].strip()
        if kind.lower() != MEDIA_TYPE:
            raise UnsignedAnswerError(f"the answer is {kind!r}")
        return response.text
