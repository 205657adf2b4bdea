"""Tests of `services.token.rotation`: what is due when, over moments alone."""

from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.config import ConfigError
from services.token.rotation import KEPT, LONGEST_TOKEN, Schedule, plan, present_of
from tests.services.documents import client_document, token_service_config
from tests.services.tokens import NOW

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
SCHEDULE = Schedule(interval=30 * DAY, lead=HOUR)


def test_the_first_key_signs_at_once() -> None:
    """There is nobody yet who could know another."""
    assert plan([], NOW, SCHEDULE).make == NOW


@pytest.mark.parametrize("age", [timedelta(0), 15 * DAY, 30 * DAY - HOUR - SECOND])
def test_a_young_key_is_left_alone(age: timedelta) -> None:
    """Nothing is due until the next key is to be published."""
    due = plan([NOW - age], NOW, SCHEDULE)
    assert (due.make, due.retire, due.forget) == (None, [], [])
    assert due.again == NOW - age + 30 * DAY - HOUR


def test_the_next_key_is_published_before_it_signs() -> None:
    """It is made one lead early, and begins when the other ends."""
    begins = NOW - 30 * DAY + HOUR
    assert plan([begins], NOW, SCHEDULE).make == NOW + HOUR


def test_a_key_made_late_begins_late() -> None:
    """After a long sleep the old key signs on while the new one gets known."""
    begins = [NOW - 90 * DAY]
    due = plan(begins, NOW, SCHEDULE)
    assert due.make == NOW + HOUR
    begins.append(due.make)
    assert present_of(begins, NOW + HOUR - SECOND) == 0
    assert present_of(begins, NOW + HOUR) == 1


def test_one_key_is_waiting_at_most() -> None:
    """A key that is published already is not made again."""
    assert plan([NOW - 30 * DAY, NOW + HOUR], NOW, SCHEDULE).make is None


def test_a_key_retires_when_the_next_begins() -> None:
    """From that second on its private half is of no use."""
    begins = [NOW - 30 * DAY, NOW]
    assert plan(begins, NOW - SECOND, SCHEDULE).retire == []
    assert plan(begins, NOW, SCHEDULE).retire == [0]


def test_a_retired_key_stays_published_for_the_life_of_its_tokens() -> None:
    """The longest token that it signed, and the skew of clocks (O135)."""
    begins = [NOW - 30 * DAY, NOW]
    assert plan(begins, NOW + KEPT - SECOND, SCHEDULE).forget == []
    assert plan(begins, NOW + KEPT, SCHEDULE).forget == [0]


def test_no_token_lives_longer_than_a_key_stays(tmp_path: Path) -> None:
    """A registration that asks for more is refused."""
    longest = int(LONGEST_TOKEN.total_seconds())
    for lifetime in (longest, longest + 1):
        clients = {"storefront": client_document(lifetime=lifetime)}
        with nullcontext() if lifetime == longest else pytest.raises(ConfigError):
            token_service_config(tmp_path, clients=clients)


def test_a_clock_that_went_back_finds_a_key() -> None:
    """If no key has begun, the first one signs."""
    assert present_of([NOW, NOW + DAY], NOW - DAY) == 0


@given(
    st.lists(st.integers(1, 10_000), min_size=1, max_size=60),
    st.integers(7200, 90_000),
    st.integers(900, 7199),
)
def test_however_often_one_looks_no_key_signs_before_it_was_known(
    pauses: list[int], interval: int, lead: int
) -> None:
    """And no key is forgotten while a token that it signed may live."""
    schedule = Schedule(timedelta(seconds=interval), timedelta(seconds=lead))
    now, begins = NOW, [NOW]
    known_since = {NOW: NOW}
    last_signed = {NOW: NOW}
    for pause in pauses:
        now += timedelta(seconds=pause)
        due = plan(begins, now, schedule)
        if due.make is not None:
            begins.append(due.make)
            known_since[due.make] = now
            due = plan(begins, now, schedule)
        assert due.make is None
        assert due.again > now
        signs = begins[present_of(begins, now)]
        assert signs == NOW or now - known_since[signs] >= schedule.lead
        last_signed[signs] = now
        for number in due.forget:
            assert now - last_signed[begins[number]] >= KEPT
        begins = [each for i, each in enumerate(begins) if i not in due.forget]
