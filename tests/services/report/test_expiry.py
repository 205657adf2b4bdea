"""The line of time: how long certificates live on, and when they are renewed."""

from datetime import timedelta

import pytest

from services.report.expiry import timeline
from services.report.words import in_words
from tests.services.report.fleets import NOW, identity

HOUR = timedelta(hours=1)


def test_the_longest_life_ends_just_before_the_line() -> None:
    """Lives are drawn in proportion, and the last end is seen."""
    found = timeline(
        [identity("a", left=24 * HOUR), identity("b", left=12 * HOUR)], NOW, HOUR
    )
    long, short = found.lives
    assert 90 < long.until < 100
    assert short.until == pytest.approx(long.until / 2, abs=0.01)


@pytest.mark.parametrize(
    ("left", "state"), [(9 * HOUR, "lives"), (8 * HOUR, "due"), (-HOUR, "over")]
)
def test_a_life_is_due_once_a_roll_out_would_renew_it(
    left: timedelta, state: str
) -> None:
    """With less than the renewal time left it is due, with none it is over."""
    life = timeline([identity("a", left=left)], NOW, 8 * HOUR).lives[0]
    assert life.state == state


def test_the_line_has_few_marks_at_round_times() -> None:
    """Marks are hours or days that people count in."""
    marks = timeline([identity("a", left=24 * HOUR)], NOW, HOUR).marks
    assert [mark.text for mark in marks] == ["now", "+12 h", "+1 d"]
    marks = timeline([identity("a", left=timedelta(days=9000))], NOW, HOUR).marks
    assert len(marks) <= 6


def test_no_identity_makes_an_empty_line() -> None:
    """Without identities there is nothing to draw, and no error."""
    assert timeline([], NOW, HOUR).lives == []


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59, "59 s"),
        (61, "1 min 1 s"),
        (3600, "1 h"),
        (86399, "23 h 59 min"),
        (90000, "1 d 1 h"),
        (86460, "1 d"),
        (-7200, "2 h"),
    ],
)
def test_spans_are_said_by_their_two_largest_units(seconds: int, said: str) -> None:
    """A span is short enough to be read at a glance."""
    assert in_words(timedelta(seconds=seconds)) == said
