"""A row of the table: several ways of doing the same work, done in turn, and compared.

Each way is done once a round, all of a round within seconds of each other, and the
ratio is taken within the round: what else the machine does then weighs on both. The
first round is thrown away. Told are the medians, and the least and the most of the
ratio. A way that cannot be gone here is left out of its row, with the reason.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from statistics import median
from typing import Literal

import msgspec


class AbsentError(Exception):
    """What a way needs is not here; the message says what that is."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What one way has done in one round."""

    figure: float  # in the unit of the row
    wall: float | None = None  # per second of the clock, where `figure` is one of CPU
    server: float | None = None  # share of its core that the server used
    load: float | None = None  # the same of the load's; near 1: the row is worth little
    failed: int = 0  # answers other than 200, or connections that broke


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What the ratio of our figure to another's should be."""

    against: str
    ratio: float
    sense: Literal["at least", "at most"] = "at least"

    def is_met(self, found: float) -> bool:
        """Return whether a ratio is good enough."""
        return found >= self.ratio if self.sense == "at least" else found <= self.ratio


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared; the first way is ours."""

    name: str
    unit: str
    ways: Mapping[str, Callable[[], Sample]]
    goals: Sequence[Goal] = ()


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Ours in relation to another's, over all rounds."""

    against: str
    median: float
    least: float
    most: float
    goal: Goal | None
    met: bool | None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A row, measured."""

    name: str
    unit: str
    figures: dict[str, float]  # medians
    samples: dict[str, list[Sample]]
    ratios: list[Ratio]
    absent: dict[str, str]  # ways that could not be gone, and why


def measure(row: Row, *, rounds: int) -> Result:
    """Do all ways of a row in turn, so many times."""
    samples: dict[str, list[Sample]] = {name: [] for name in row.ways}
    absent: dict[str, str] = {}
    for number in range(rounds + 1):
        for name in [*samples]:
            try:
                sample = row.ways[name]()
            except AbsentError as error:
                absent[name] = str(error)
                del samples[name]
                continue
            if number:
                samples[name].append(sample)
    ours = next(iter(row.ways))
    goals = {goal.against: goal for goal in row.goals}
    return Result(
        name=row.name,
        unit=row.unit,
        figures={
            name: median(s.figure for s in all_) for name, all_ in samples.items()
        },
        samples=samples,
        ratios=[
            _ratio(samples[ours], samples[name], name, goals.get(name))
            for name in samples
            if name != ours and ours in samples
        ],
        absent=absent,
    )


def later(make: Callable[[], Callable[[], Sample]]) -> Callable[[], Sample]:
    """Return a way that is made when it is first gone: its server starts then."""
    made = cache(make)

    def go() -> Sample:
        return made()()

    return go


def _ratio(
    ours: Sequence[Sample], theirs: Sequence[Sample], name: str, goal: Goal | None
) -> Ratio:
    found = [one.figure / other.figure for one, other in zip(ours, theirs, strict=True)]
    return Ratio(
        against=name,
        median=median(found),
        least=min(found),
        most=max(found),
        goal=goal,
        met=goal.is_met(median(found)) if goal else None,
    )
