"""Token buckets by name: how often each may ask, in memory (RFC 7662, section 4).

A bucket holds up to `burst`, gains `per_second`, and gives one for each request. There
are `MOST` at most. When there are more names, those that have not asked for longest go:
whoever rests long enough for that would mostly have a full bucket anyway, and names are
certificates of our CA and registered clients, which nobody can invent.

Each process counts for itself, so N replicas let through up to N times as much.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import timedelta

from services.rates import Rate

MOST = 10_000  # about 200 bytes each


class Buckets:
    """One bucket a name; all hold the same."""

    def __init__(
        self, *, most: int = MOST, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._monotonic = monotonic
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, name: Hashable, rate: Rate) -> timedelta | None:
        """Take one from the bucket of `name`, or return how long until there is one."""
        now = self._monotonic()
        level, since = self._levels.get(name, (float(rate.burst), now))
        level = min(float(rate.burst), level + (now - since) * rate.per_second)
        taken = level >= 1
        self._levels[name] = (level - 1 if taken else level, now)
        self._levels.move_to_end(name)
        if len(self._levels) > self._most:
            self._levels.popitem(last=False)
        if taken:
            return None
        return timedelta(seconds=math.ceil((1 - level) / rate.per_second))

    def put_back(self, name: Hashable) -> None:
        """Put back one that was taken from the bucket of `name`."""
        if name in self._levels:
            level, since = self._levels[name]
            self._levels[name] = (level + 1, since)  # `take` cuts what is too much
