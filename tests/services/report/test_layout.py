"""The picture's layout: none over another, and no line through one."""

from itertools import combinations

import pytest

from services.report.layout import Layout, place
from services.report.routes import Route, route
from tests.services.report.fleets import NAMES, calls_of

Pair = tuple[str, str]
SLIGHTLY = 1e-6  # what floating point may lose


def through(layout: Layout, pairs: list[Pair], lines: list[Route]) -> list[Pair]:
    """Return the pairs whose lines run through a box that is not theirs."""
    return [
        pair
        for pair, line in zip(pairs, lines, strict=True)
        if any(
            box.holds(*point)
            for name, box in layout.boxes.items()
            if name not in pair
            for point in line.points()
        )
    ]


@pytest.mark.parametrize("count", range(1, 31))
def test_no_two_services_overlap(count: int) -> None:
    """Every service has a box on the page, and boxes keep their distance."""
    layout = place(NAMES[:count], calls_of(count), above=100, aside=20)
    assert set(layout.boxes) == set(NAMES[:count])
    for one, other in combinations(layout.boxes.values(), 2):
        apart = abs(one.x - other.x) - (one.width + other.width) / 2
        below = abs(one.y - other.y) - (one.height + other.height) / 2
        assert max(apart, below) >= 16 - SLIGHTLY
    for box in layout.boxes.values():
        assert box.x - box.width / 2 >= 20 - SLIGHTLY
        assert box.x + box.width / 2 <= layout.width - 20 + SLIGHTLY
        assert box.y - box.height / 2 >= 100
        assert box.y + box.height / 2 <= layout.height


@pytest.mark.parametrize("count", range(2, 31))
def test_no_line_runs_through_a_service(count: int) -> None:
    """A call's line ends at its two services and passes between all others."""
    calls = calls_of(count)
    layout = place(NAMES[:count], calls)
    assert through(layout, calls, route(layout, calls)) == []


@pytest.mark.parametrize("count", [2, 3, 4])
def test_refused_pairs_go_around(count: int) -> None:
    """Among few services every pair has a line, and none runs through a service."""
    names, calls = NAMES[:count], calls_of(count)
    pairs = calls + [
        (one, other)
        for one in names
        for other in names
        if one != other and (one, other) not in calls
    ]
    layout = place(names, calls, above=136, aside=84)
    lines = route(layout, pairs)
    assert through(layout, pairs, lines) == []
    assert len({line.middle for line in lines}) == len(pairs)


def test_callers_stand_above_those_they_call() -> None:
    """A chain of calls reads from top to bottom."""
    boxes = place(["c", "a", "b"], [("a", "b"), ("b", "c")]).boxes
    assert boxes["a"].y < boxes["b"].y < boxes["c"].y


def test_a_circle_of_calls_is_cut() -> None:
    """Services that call each other have places all the same, and both lines."""
    calls = [("a", "b"), ("b", "c"), ("c", "a"), ("b", "b")]
    layout = place(["a", "b", "c"], calls)
    assert len({box.y for box in layout.boxes.values()}) == 3
    assert len(route(layout, calls[:3])) == 3


def test_a_wide_layer_takes_several_rows() -> None:
    """Forty services called by one do not make a picture forty boxes wide."""
    names = [f"service-{number}" for number in range(40)]
    layout = place(["hub", *names], [("hub", name) for name in names])
    rows = {box.y for box in layout.boxes.values()}
    assert len(rows) == 8
    assert layout.width < 20 * layout.boxes["hub"].width


def test_services_that_nobody_calls_stand_below() -> None:
    """Who neither calls nor is called comes last."""
    boxes = place(["alone", "a", "b"], [("a", "b")]).boxes
    assert boxes["alone"].y > boxes["b"].y


def test_the_same_topology_looks_the_same() -> None:
    """A picture does not change from run to run."""
    assert place(NAMES, calls_of(30)) == place(NAMES, calls_of(30))
