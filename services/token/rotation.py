"""When signing keys follow one another (RFC 9700, 4.9; oauth.md, line 135).

A key is made, and published, `lead` before it signs; it signs until the next one does;
its public half stays published for `KEPT` after that, longer than any token it signed.

`plan` decides over moments alone. A key that could not be made in time, because the
process was down, begins late: it is never used before it was published for `lead`, and
the one before it goes on signing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Self

LONGEST_TOKEN = timedelta(hours=1)  # no registration may ask for more
KEPT = LONGEST_TOKEN + timedelta(minutes=1)  # clocks differ (FAPI 2.0, 5.3.2.1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long a key signs, and how long before that it is published."""

    interval: timedelta
    lead: timedelta

    @classmethod
    @lru_cache(maxsize=1)
    def of(cls, interval: int, lead: int) -> Self:
        """Return the schedule of these seconds; each token asks for it."""
        return cls(timedelta(seconds=interval), timedelta(seconds=lead))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is due now, by the numbers of the keys; `again` is when to look next."""

    again: datetime
    make: datetime | None = None  # a key that begins then
    retire: Sequence[int] = field(default=())
    forget: Sequence[int] = field(default=())


def plan(begins: Sequence[datetime], now: datetime, schedule: Schedule) -> Plan:
    """Return what is due at `now` for keys that begin at `begins`, in this order."""
    if not begins:
        return Plan(again=now, make=now)  # there is nobody yet who could know another
    present = present_of(begins, now)
    over = [begins[number + 1] + KEPT for number in range(present)]
    due = begins[-1] + schedule.interval
    late = due - schedule.lead <= now
    coming = [*over, *begins[present + 1 :], due - schedule.lead]
    return Plan(
        again=min((moment for moment in coming if moment > now), default=now),
        make=max(due, now + schedule.lead) if late else None,
        retire=[number for number, moment in enumerate(over) if now < moment],
        forget=[number for number, moment in enumerate(over) if now >= moment],
    )


def present_of(begins: Sequence[datetime], now: datetime) -> int:
    """Return the number of the key that signs at `now`: the last that has begun.

    If none has, the clock went back, and the first one signs.
    """
    begun = [number for number, moment in enumerate(begins) if moment <= now]
    return max(begun, default=0)
