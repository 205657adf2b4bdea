"""The time: the only file that reads it.

Everything that decides takes `now` as an argument, so that a test can stand at any
moment. Certificates know whole seconds only (RFC 5280, section 4.1.2.5), so the
fraction is cut off here, once. Reports and the ledger write moments in one form.
"""

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_FORM = "%Y-%m-%dT%H:%M:%SZ"
# The moment that was asked for last, by its second.
_newest = (0, datetime.fromtimestamp(0, UTC))


def utc_now() -> datetime:
    """Return the present moment in UTC, cut to whole seconds."""
    global _newest  # noqa: PLW0603 - each request asks a few times
    second = int(time.time())
    known = _newest
    if known[0] != second:
        _newest = known = second, datetime.fromtimestamp(second, UTC)
    return known[1]


@lru_cache(maxsize=256)  # what is recorded together has few moments
def to_text(moment: datetime) -> str:
    """Return `moment` as RFC 3339 in UTC: `2026-11-22T17:35:16Z`."""
    return moment.astimezone(UTC).strftime(_FORM)


def in_words(length: timedelta) -> str:
    """Return `length` in whole units, the largest that it is a multiple of: `24h`."""
    whole = int(length.total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if whole % size == 0 and whole > size:
            return f"{whole // size}{unit}"
    return f"{whole}s"


def from_text(text: str) -> datetime:
    """Read what `to_text` wrote, and no other form.

    Raises:
        ValueError: `text` has another form.
    """
    # Lists of revocations are full of moments: a tenth of the price of strptime().
    moment = datetime.fromisoformat(text)
    if to_text(moment) != text:
        raise ValueError(f"{text!r} is no moment of the form 2026-11-22T17:35:16Z")
    return moment
