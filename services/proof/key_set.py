"""The token service's public keys: read strictly, fetched, cached (RFC 7517).

`read_key_set` turns a JWKS into verification keys; `RemoteKeySet` keeps one fresh.
A key counts if it is public, P-256, for signatures, and has an id of its own.

That the JWKS is the token service's is for the connection to prove it was fetched on.
"""

import json
from asyncio import Lock
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.errors import ServiceError
from services.proof.errors import UnknownKeyError
from services.proof.jws import ALGORITHMS

MAX_AGE = timedelta(minutes=10)  # after this a withdrawn key is no longer believed
# A token with an invented key id must not make us ask at the caller's pace.
REFETCH_INTERVAL = timedelta(seconds=5)
# What reading an object of any shape as a JWKS may raise.
_UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, RecursionError)


class KeySetUnavailableError(ServiceError):
    """No key set young enough can be had, so no token can be checked."""

    code = "temporarily_unavailable"


def read_key_set(document: bytes) -> dict[str, ECKey]:
    """Return the verification keys of a JWKS by key id.

    Keys for other uses or algorithms are left out, as RFC 7517, section 5, asks.

    Raises:
        KeySetUnavailableError: no JWKS, a private key in it, or a key id twice.
    """
    try:
        members = json.loads(document)["keys"]
        keys = [_verification_key(member) for member in members]
    except (*_UNREADABLE, JoseError) as error:
        raise KeySetUnavailableError(f"no JWKS: {type(error).__name__}") from None
    named = {key.kid: key for key in keys if key is not None and key.kid}
    if len(named) != sum(key is not None for key in keys):
        raise KeySetUnavailableError("JWKS with a key id missing or given twice")
    return named


def _verification_key(member: Mapping[str, Any]) -> ECKey | None:
    if "d" in member or "k" in member:
        raise KeySetUnavailableError("JWKS with a private or symmetric key")
    usable = (
        member.get("kty") == "EC"
        and member.get("crv") == "P-256"
        and member.get("use", "sig") == "sig"
        and member.get("alg", ALGORITHMS[0]) in ALGORITHMS
    )
    return ECKey.import_key(dict(member)) if usable else None


class RemoteKeySet:
    """The key set at a URL, as young as `MAX_AGE`, asked for again on an unknown id."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        clock: Callable[[], datetime],
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, ECKey] = {}
        self._fetched_at: datetime | None = None
        self._asked_at: datetime | None = None
        self._lock = Lock()

    async def key(self, key_id: str) -> ECKey:
        """Return the key with this id, asking the token service where need be.

        Raises:
            UnknownKeyError: a fresh key set does not hold it, or it was refetched for
                an unknown id less than `REFETCH_INTERVAL` ago.
            KeySetUnavailableError: the key set is too old and cannot be had anew.
        """
        known = self._keys.get(key_id)
        if known is not None and self._is_fresh():
            return known
        async with self._lock:
            if not self._is_fresh() or key_id not in self._keys:
                await self._refresh()
        if not self._is_fresh():
            raise KeySetUnavailableError("the key set cannot be fetched")
        if key_id not in self._keys:
            raise UnknownKeyError(f"key {key_id!r} is not published")
        return self._keys[key_id]

    def fresh(self, now: datetime) -> Mapping[str, ECKey] | None:
        """Return the set if it is fresh at `now`; each that is fetched is another."""
        fetched_at = self._fetched_at
        if fetched_at is None or not fetched_at <= now < fetched_at + MAX_AGE:
            return None
        return self._keys

    async def keys(self) -> dict[str, ECKey]:
        """Return every key of the set.

        Raises:
            KeySetUnavailableError: the key set is too old and cannot be had anew.
        """
        async with self._lock:
            await self._refresh()
        if not self._is_fresh():
            raise KeySetUnavailableError("the key set cannot be fetched")
        return dict(self._keys)

    @property
    def age(self) -> timedelta | None:
        """How old the key set is, None before the first."""
        return None if self._fetched_at is None else self._clock() - self._fetched_at

    def _is_fresh(self) -> bool:
        if self._fetched_at is None:
            return False
        return self._fetched_at <= self._clock() < self._fetched_at + MAX_AGE

    async def _refresh(self) -> None:
        """Fetch once an interval; a failure keeps what is there until it is too old."""
        now = self._clock()
        asked_at = self._asked_at
        if asked_at and timedelta(0) <= now - asked_at < REFETCH_INTERVAL:
            return
        self._asked_at = now
        try:
            self._keys = read_key_set(await self._fetch())
        except KeySetUnavailableError:
            if not self._is_fresh():
                raise
        else:
            self._fetched_at = now
