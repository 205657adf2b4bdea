"""How long each certificate lives on, on one line of time that begins now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.probe import Identity
from services.report.observations import more_of
from services.report.words import in_words, moment

# A line has at most four marks after its beginning, at lengths that people count in.
_STEPS = [
    *(timedelta(minutes=number) for number in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=number) for number in (1, 2, 3, 6, 12)),
    *(timedelta(days=number) for number in (1, 2, 7, 14, 30, 90, 180, 365, 1825)),
]
_MARKS = 4
_BEYOND = 1.06  # of the longest life, so that its end is seen


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment on the line: where, in percent, and what it is called."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Life:
    """A certificate's row; `renewed_from` and `until` are percents of the line."""

    identity: Identity
    more: list[tuple[str, str]]
    expires: str
    left: str
    until: float
    renewed_from: float
    state: str  # lives, due or over

    @property
    def over(self) -> bool:
        """Whether it has expired."""
        return self.state == "over"


@dataclass(frozen=True, slots=True)
class Timeline:
    """The line of time and the lives on it."""

    marks: list[Mark]
    lives: list[Life]


def timeline(
    identities: Sequence[Identity], now: datetime, renew_before: timedelta
) -> Timeline:
    """Return where on the line each identity's certificate ends.

    Args:
        identities: what the live ports present.
        now: where the line begins.
        renew_before: how long before its end a roll-out renews a certificate.
    """
    ends = [datetime.fromisoformat(one.not_after) for one in identities]
    longest = max([end - now for end in ends], default=timedelta())
    length = max(longest, timedelta(minutes=1)) * _BEYOND
    lives = [
        _life(identity, end, now, length, renew_before)
        for identity, end in zip(identities, ends, strict=True)
    ]
    return Timeline(list(_marks(length)), lives)


def _life(
    identity: Identity,
    end: datetime,
    now: datetime,
    length: timedelta,
    renew_before: timedelta,
) -> Life:
    left = end - now
    until = max(0.0, 100 * left / length)
    over, due = left <= timedelta(), left <= renew_before
    return Life(
        identity=identity,
        more=list(more_of(identity, *_SHOWN)),
        expires=moment(end),
        left=f"{in_words(left)} ago" if over else f"in {in_words(left)}",
        until=round(until, 2),
        renewed_from=round(max(0.0, until - 100 * renew_before / length), 2),
        state="over" if over else "due" if due else "lives",
    )


_SHOWN = ("service", "host", "spiffe_id", "serial", "not_after", "address", "port")


def _marks(length: timedelta) -> Iterable[Mark]:
    step = next((step for step in _STEPS if length / step <= _MARKS), length)
    yield Mark(0.0, "now")
    number = 1
    while number * step < length:
        at = round(100 * (number * step / length), 2)
        yield Mark(at, f"+{in_words(number * step)}")
        number += 1
