"""Moments, spans and kinds of tokens, as people read them."""

from datetime import UTC, datetime, timedelta

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_SHORT = 600  # seconds
_TOKENS = {
    "bearer": "bearer token",
    "bound": "certificate-bound token",
    "dpop": "key-bound token (DPoP)",
    "phantom": "phantom (opaque) token",
    "exchanged": "exchanged token",
}
_SHORT_TOKENS = {"bound": "mTLS", "dpop": "DPoP"}


def in_words(length: timedelta) -> str:
    """Return a span by its two largest units: 23 h 54 min."""
    left = abs(int(length.total_seconds()))
    said = []
    for unit, size in _UNITS if left < _SHORT else _UNITS[:-1]:
        if left >= size:
            said.append(f"{left // size} {unit}")
            left %= size
        elif said:
            break
    return " ".join(said[:2]) or "0 s"


def moment(at: datetime) -> str:
    """Return a moment to the minute, in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def token_kind(column: str) -> str:
    """Return the title of a column of the drill."""
    return _TOKENS.get(column, f"{column.replace('_', ' ')} token")


def short_kind(column: str) -> str:
    """Return the same in one word."""
    return _SHORT_TOKENS.get(column, column.replace("_", " "))


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"
