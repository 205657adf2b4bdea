"""The keys of one client: registered with it, or fetched from where it publishes them.

`self_signed` looks for a certificate among them, `assertion` for the key of a
signature. A client that publishes them changes them without a word to us (RFC 8705,
section 2.2; FAPI 2.0, section 5.4.2): what is not found is looked for again, but never
at the pace of whoever sends us what cannot be found, and what is old is not believed.
Old and new are good together for as long as the client publishes both.

How a document is fetched without harm is for `wire.web`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from logging import WARNING

from services import log
from services.errors import ServiceError
from services.jwk import JwkError
from services.registration.key import RegisteredKey
from services.registration.methods import KeySource
from services.wire.web import WebError, fetch

MAX_AGE = timedelta(minutes=10)  # after this a withdrawn key is no longer believed
REFETCH_INTERVAL = timedelta(seconds=10)

Keys = tuple[RegisteredKey, ...]
Fetch = Callable[[KeySource], Awaitable[bytes]]


class ClientKeysUnavailableError(ServiceError):
    """No keys young enough can be had, so the client cannot be known."""

    code = "temporarily_unavailable"


async def fetched(source: KeySource) -> bytes:
    """Return the document at the `jwks_uri` of `source`.

    Raises:
        WebError: it cannot be had.
    """
    return await fetch(
        source.jwks_uri or "",
        trust_bundle=source.trust_bundle,
        networks=source.networks,
    )


class ClientKeys:
    """The keys that `source` names, as young as `MAX_AGE`."""

    def __init__(
        self, source: KeySource, fetch: Fetch, clock: Callable[[], datetime]
    ) -> None:
        self._source = source
        self._fetch = fetch
        self._clock = clock
        self._keys = source.registered()
        self._fetched_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._lock = asyncio.Lock()

    @property
    def last_known(self) -> Keys:
        """The keys, however old: good for opening a door behind which one is asked."""
        return self._keys

    async def current(self) -> Keys:
        """Return the keys, asking for them where they have become old.

        Raises:
            ClientKeysUnavailableError: they are too old and cannot be had anew.
        """
        if not self._is_fresh():
            await self.refresh()
        if not self._is_fresh():
            raise ClientKeysUnavailableError(f"no keys at {self._source.jwks_uri}")
        return self._keys

    async def refresh(self) -> Keys:
        """Return the keys after a miss: asked for again, if that was not just done."""
        if self._source.jwks_uri is not None:
            async with self._lock:
                await self._ask()
        return self._keys

    def _is_fresh(self) -> bool:
        if self._source.jwks_uri is None:
            return True
        return _within(MAX_AGE, self._fetched_at, self._clock())

    async def _ask(self) -> None:
        now = self._clock()
        if _within(REFETCH_INTERVAL, self._asked_at, now):
            return
        self._asked_at = now
        try:
            self._keys = self._source.published(await self._fetch(self._source))
        except (WebError, JwkError) as error:
            where = self._source.jwks_uri
            log.event("client.without_keys", level=WARNING, where=where, reason=error)
        else:
            self._fetched_at = now


def _within(span: timedelta, since: datetime | None, now: datetime) -> bool:
    return since is not None and timedelta(0) <= now - since < span
