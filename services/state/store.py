"""The state that replicas share: what was used once, what was handed out, what is void.

Token service replicas and guards come here for replay claims (RFC 9449, section 11.1;
RFC 7523, section 3), opaque tokens (RFC 7662) and revocations (RFC 7009). `open.py`
chooses the backend by one URL; both hold to this contract, and one suite tests both.

A moment has whole seconds. Rounding errs on refusing: claims and revocations hold
through the second of their `until`, a token ends as that second begins. What is over is
decided by the clock of whoever asks, which is the clock that judged the proof; a
backend keeps what is over for `GRACE` longer, so that a replica whose clock is behind
finds it too.

What this does not prove: that a proof or a token is valid. And it is as durable as its
backend; `sqlite.py` and `redis.py` say what a power cut can take.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, Self

from services.errors import ServiceError

GRACE = timedelta(seconds=60)  # far beyond the skew that any proof is allowed
PATIENCE = timedelta(seconds=1)  # then an operation fails: its caller holds a request


class AlreadyClaimedError(ServiceError):
    """What may be used once was used before."""

    code = "already_claimed"


class StateUnavailableError(ServiceError):
    """The backend cannot be asked now; refuse with 503, the next call tries anew.

    What was asked for may or may not have been done: a claim that failed may be taken.
    """

    code = "temporarily_unavailable"


@dataclass(frozen=True, slots=True)
class Revocations:
    """The tokens that are void before their time, ordered by their ids.

    `version` is a digest of the entries, so equal versions mean equal content: across
    replicas, restarts, and a backend that has forgotten everything.
    """

    version: str
    entries: tuple[tuple[str, datetime], ...]

    @classmethod
    def of(cls, entries: Iterable[tuple[str, datetime]]) -> Self:
        """Return the revocations that `entries` are."""
        ordered = tuple(sorted(entries))
        text = json.dumps([(name, until.timestamp()) for name, until in ordered])
        return cls(hashlib.sha256(text.encode()).hexdigest()[:32], ordered)


class Store(Protocol):
    """Shared state; every operation is atomic among all who use the same backend.

    An object belongs to one event loop. Every method but `aclose` raises
    `StateUnavailableError` if the backend fails or takes too long, and the same object
    works again once the backend does.
    """

    async def claim(self, purpose: str, key: str, until: datetime) -> None:
        """Use `key` for the first time; it stays used through `until`.

        Raises:
            AlreadyClaimedError: it was claimed for this purpose, and still is.
        """

    async def put_token(self, handle: str, record: bytes, until: datetime) -> None:
        """Keep `record` until `until` for whoever shows the opaque token `handle`."""

    async def get_token(self, handle: str) -> bytes | None:
        """Return the record of an opaque token, None if it is unknown or over."""

    async def revoke(self, token_id: str, until: datetime) -> None:
        """Void a token through `until`; a second time can only make that later."""

    async def is_revoked(self, token_id: str) -> bool:
        """Tell whether a token is void."""

    async def revocations(self) -> Revocations:
        """Return every token that is void now."""

    async def ping(self) -> None:
        """Return if the backend takes writes."""

    async def aclose(self) -> None:
        """Let go of the backend; a later call would open it again."""
