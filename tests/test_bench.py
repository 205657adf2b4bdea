"""Tests of how benchmarks are compared; none of them measures anything."""

import io
from collections.abc import Callable, Iterator

import pytest
from rich.console import Console

from bench.rounds import AbsentError, Goal, Result, Row, Sample, later, measure
from bench.table import table


def told(*figures: float) -> Callable[[], Sample]:
    """Return a way whose rounds come to these figures."""
    coming: Iterator[float] = iter(figures)
    return lambda: Sample(figure=next(coming))


def absent() -> Sample:
    """Be a way that nobody can go."""
    raise AbsentError("it is not installed\nand here is why")


def row(goal: Goal, **ways: Callable[[], Sample]) -> Row:
    """Return a row with one goal."""
    return Row(name="work", unit="answers", ways=ways, goals=[goal])


def printed(result: Result) -> str:
    """Return the table of one result."""
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as captured:
        console.print(table([result]))
    return captured.get()


def test_a_ratio_is_of_one_round_and_the_first_does_not_count() -> None:
    """The median of ratios, not the ratio of medians; with the least and the most."""
    goal = Goal(against="theirs", ratio=2.0)
    result = measure(
        row(goal, ours=told(1, 10, 30, 20), theirs=told(100, 1, 10, 10)), rounds=3
    )
    (ratio,) = result.ratios
    assert (ratio.median, ratio.least, ratio.most) == (3, 2, 10)
    assert result.figures == {"ours": 20, "theirs": 10}
    assert ratio.met


@pytest.mark.parametrize(
    ("sense", "met"), [("at least", False), ("at most", True)], ids=["least", "most"]
)
def test_a_goal_has_a_sense(sense: str, met: bool) -> None:  # noqa: FBT001 - expected
    """What is too slow for one may be small enough for the other."""
    goal = Goal(against="theirs", ratio=2.0, sense=sense)  # type: ignore[arg-type]  # either
    result = measure(row(goal, ours=told(1, 1), theirs=told(1, 1)), rounds=1)
    assert result.ratios[0].met is met
    assert ("missed" in printed(result)) is not met


def test_what_is_absent_is_left_out_with_its_reason() -> None:
    """The others are measured and compared; the reason is its first line."""
    goal = Goal(against="theirs", ratio=2.0)
    result = measure(row(goal, ours=told(1, 2), theirs=absent), rounds=1)
    assert result.figures == {"ours": 2}
    assert result.ratios == []
    assert result.absent["theirs"].startswith("it is not installed")
    assert "left out: it is not installed" in printed(result)


def test_without_ours_nothing_is_compared() -> None:
    """There is no ratio of nothing."""
    goal = Goal(against="theirs", ratio=2.0)
    result = measure(row(goal, ours=absent, theirs=told(1, 2)), rounds=1)
    assert result.ratios == []
    assert list(result.absent) == ["ours"]


def test_a_full_core_of_the_load_is_said() -> None:
    """A row that it bounds tells of the load."""
    full = Sample(figure=1, load=0.95)
    result = measure(
        row(Goal(against="theirs", ratio=1), ours=lambda: full, theirs=told(1, 1)),
        rounds=1,
    )
    assert "load's core is full" in printed(result)


def test_what_is_made_later_is_made_once() -> None:
    """When it is first asked for."""
    made = list[str]()

    def make() -> Callable[[], Sample]:
        made.append("made")
        return told(1, 2)

    way = later(make)
    assert made == []
    assert [way().figure, way().figure] == [1, 2]
    assert made == ["made"]
