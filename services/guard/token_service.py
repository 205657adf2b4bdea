"""What a workload asks the token service for: keys, what is void, tokens.

All over one connection pool that presents the workload's certificate, to the token
service and nobody else.
"""

from collections.abc import Callable

import httpx
import msgspec

from services.federation_config import TokenServiceAddress
from services.guard.revocations import RevocationsUnknownError, VoidTokens
from services.proof.key_set import KeySetUnavailableError


class _Feed(msgspec.Struct):
    revoked: list[str]


class TokenServiceClient:
    """The token service, as its address says today."""

    def __init__(
        self, client: httpx.AsyncClient, address: Callable[[], TokenServiceAddress]
    ) -> None:
        self.client = client
        self._address = address

    async def key_set(self) -> bytes:
        """Return the published key set.

        Raises:
            KeySetUnavailableError: there is no answer, or an error.
        """
        uri = self._address().jwks_uri
        try:
            response = await self.client.get(uri)
            return response.raise_for_status().content
        except httpx.HTTPError as error:
            reason = f"{uri}: {type(error).__name__}: {error}"
            raise KeySetUnavailableError(reason) from error

    async def revocations(self, known: str | None) -> VoidTokens | None:
        """Return which tokens are void, None if nothing changed since `known`.

        Raises:
            RevocationsUnknownError: there is no answer, or an error.
        """
        uri = self._address().revocations_uri or ""
        headers = {} if known is None else {"If-None-Match": known}
        try:
            response = await self.client.get(uri, headers=headers)
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return None
            content = response.raise_for_status().content
            feed = msgspec.json.decode(content, type=_Feed)
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            reason = f"{uri}: {type(error).__name__}: {error}"
            raise RevocationsUnknownError(reason) from error
        return VoidTokens(response.headers.get("etag", ""), frozenset(feed.revoked))
