"""One revocation list, followed over time: fetched, verified, kept while it is young.

`wire.status` has one of these for each list that certificates of its peers point to.
Over plain HTTP, because what is fetched is signed (RFC 5280, section 8); with an entity
tag, so that a list that has not changed costs neither its bytes nor the reading of
them. Verifying a hundred thousand entries takes seconds and is done in a thread.

A list is as old as the last question that was answered with it, or with "not changed".
Proved is what `pki.revocation_list` says. Not proved: that an answer "not changed" is
the publisher's own. Whoever sits between can hold a list back until it ends by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from logging import WARNING

import httpx
from cryptography import x509

from pki.errors import PkiError
from pki.revocation_list import RevocationList, verify_list
from services import log
from services.errors import ServiceError
from services.revocation_config import POLL
from services.wire.memory import LARGE, give_large_blocks_back

LONGEST = 16 * 1024 * 1024  # bytes; a revoked certificate takes about forty
_POLL = timedelta(seconds=POLL)


class ListUnknownError(ServiceError):
    """A list cannot be had, or what is had cannot be relied on."""

    code = "temporarily_unavailable"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a publisher has said: bytes that nobody has verified, or "not changed"."""

    unverified: bytes | None
    tag: str
    age: timedelta  # in caches on the way


Ask = Callable[[str, str], Awaitable[Answer]]


class FollowedList:
    """The newest list at `url` that `issuer` has signed."""

    def __init__(
        self,
        url: str,
        issuer: x509.Certificate,
        *,
        ask: Ask,
        clock: Callable[[], datetime],
    ) -> None:
        self.url = url
        self.size = 0  # bytes of the list in DER
        self.used_at = clock()
        self._issuer = issuer
        self._ask = ask
        self._clock = clock
        self._value: RevocationList | None = None
        self._tag = self._digest = ""
        self._as_of: datetime | None = None
        self._tried_at: datetime | None = None
        self._asking: asyncio.Task[None] | None = None
        self._missed = False

    def age(self, now: datetime) -> timedelta | None:
        """Return how old the list is; a clock that went back makes it unknown."""
        if self._as_of is None or now < self._as_of:
            return None
        return now - self._as_of

    def refresh(self) -> "asyncio.Task[None]":
        """Return the one question that is under way."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._renew())
        return self._asking

    def want(self) -> None:
        """Note that somebody asks about a certificate, and ask if it is time."""
        self.used_at = self._clock()
        if self._is_due(self.used_at):
            self.refresh()

    async def believed(self, bound: timedelta) -> RevocationList:
        """Return the list, younger than `bound`; it was wanted before.

        Raises:
            ListUnknownError: there is none.
        """
        for _ in range(2):  # a question of a moment ago may fail: then one of now
            if self._is_young(bound) or self._asking is None:
                break
            await asyncio.wait([self._asking])
            if not self._is_young(bound):
                self.want()
        if self._value is None or not self._is_young(bound):
            raise ListUnknownError(f"{self.url}: no list younger than {bound}")
        try:
            self._value.check_current(self._clock())
        except PkiError as error:
            raise ListUnknownError(f"{self.url}: {error}") from error
        return self._value

    def give_up(self) -> None:
        """Ask no more."""
        if self._asking is not None:
            self._asking.cancel()

    def _is_young(self, bound: timedelta) -> bool:
        age = self.age(self._clock())
        return age is not None and age < bound

    def _is_due(self, now: datetime) -> bool:
        """Return whether to ask: not again at once after a failure."""
        age, tried = self.age(now), self._tried_at
        if tried is not None and timedelta(0) <= now - tried < _POLL:
            return False
        return age is None or age >= _POLL

    async def _renew(self) -> None:
        # As old as the question: what is revoked while the answer travels is not in it.
        asked_at = self._tried_at = self._clock()
        try:
            answer = await self._ask(self.url, self._tag)
            await self._take(answer)
        except (ListUnknownError, PkiError) as error:
            self._note(error)
            return
        self._as_of = asked_at - answer.age
        self._note(None)

    async def _take(self, answer: Answer) -> None:
        """Keep the list in an answer, if there is a new one in it.

        Raises:
            ListUnknownError: "not changed", and nothing was here before.
            RevocationListError: it is not the issuer's, or older than the one here.
        """
        if answer.unverified is None:
            if self._value is None:
                raise ListUnknownError(f"{self.url}: not changed, and none is here")
            return
        if len(answer.unverified) >= LARGE:
            give_large_blocks_back()
        digest = sha256(answer.unverified).hexdigest()
        if digest != self._digest:
            found = await asyncio.to_thread(
                verify_list, answer.unverified, self._issuer
            )
            if self._value is not None:
                found.check_follows(self._value)
            self._value, self._digest = found, digest
            self.size = len(answer.unverified)
        self._tag = answer.tag

    def _note(self, error: Exception | None) -> None:
        """Say once that the list cannot be had, and once that it can be again."""
        if error is not None and not self._missed:
            log.event(
                "revocation.list_missed",
                level=WARNING,
                list=self.url,
                cause=type(error).__name__,
                reason=error,
            )
        if error is None and self._missed:
            log.event("revocation.list_back", list=self.url)
        self._missed = error is not None


async def fetch(client: httpx.AsyncClient, url: str, tag: str) -> Answer:
    """Return what the publisher at `url` says to whoever has the list of `tag`.

    Raises:
        ListUnknownError: no answer, or none that holds a list.
    """
    headers = {"Accept-Encoding": "identity"} | ({"If-None-Match": tag} if tag else {})
    try:
        async with client.stream("GET", url, headers=headers) as response:
            age = timedelta(seconds=_seconds(response.headers.get("age", "")))
            if response.status_code == httpx.codes.NOT_MODIFIED:
                return Answer(None, tag, age)
            if response.status_code != httpx.codes.OK:
                raise ListUnknownError(f"{url}: status {response.status_code}")
            body = bytearray()
            async for part in response.aiter_raw():
                body += part
                if len(body) > LONGEST:
                    raise ListUnknownError(f"{url}: more than {LONGEST} bytes")
            return Answer(bytes(body), response.headers.get("etag", ""), age)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = f"{url}: {type(error).__name__}: {error}"
        raise ListUnknownError(reason) from error


def _seconds(text: str) -> int:
    """Return the seconds of an Age field (RFC 9111, section 5.1), 0 for none."""
    return min(int(text), 1 << 31) if text.isascii() and text.isdigit() else 0
