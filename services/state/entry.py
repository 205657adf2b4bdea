"""What both backends write: hashed keys, whole seconds, ids as bytes.

A backend keeps the first second in which an entry is over: `now >= over` reads the same
for all of them.
"""

import hashlib
import math
from collections.abc import Callable
from datetime import UTC, datetime

# JSON may hold half a surrogate pair (RFC 8259, section 8.2), and then so may a `jti`:
# to be told apart like any other, not to end in an encoding error.
_HALVES = "surrogatepass"


def digest(*parts: str) -> bytes:
    """Return SHA-256 over `parts`, each hashed first: what is huge becomes 32 bytes.

    A stolen database thus opens nothing: a handle has 128 random bits at least.
    """
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part.encode(errors=_HALVES)).digest())
    return total.digest()


def id_to_bytes(token_id: str) -> bytes:
    """Return a token's id as it is stored."""
    return token_id.encode(errors=_HALVES)


def id_from_bytes(stored: bytes) -> str:
    """Return the id that `id_to_bytes` was given."""
    return stored.decode(errors=_HALVES)


def second_of(clock: Callable[[], datetime]) -> int:
    """Return the present whole second."""
    return math.floor(_timestamp(clock()))


def over_after(until: datetime) -> int:
    """Return the first second after `until`: for what must not end too early."""
    return math.ceil(_timestamp(until)) + 1


def over_from(until: datetime) -> int:
    """Return the second of `until` itself: for what must not end too late."""
    return math.floor(_timestamp(until))


def until_of(over: int) -> datetime:
    """Return the `until` that `over_after` was given, in whole seconds."""
    return datetime.fromtimestamp(over - 1, UTC)


def _timestamp(moment: datetime) -> float:
    if moment.tzinfo is None:
        raise ValueError(f"{moment} names no moment: it has no time zone")
    return moment.timestamp()
