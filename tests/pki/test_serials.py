"""Tests of `pki.serials`: a set like any other, in less space."""

import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pki.serials import Serials

NUMBERS = st.integers(0, (1 << 160) - 1)


@given(st.sets(NUMBERS | st.integers(0, 300)), st.sets(NUMBERS | st.integers(0, 300)))
def test_it_holds_what_a_set_would_hold(held: set[int], asked: set[int]) -> None:
    """Those that were given, and of others none."""
    serials = Serials(held)
    assert serials == Serials(sorted(held))
    assert len(serials) == len(held)
    assert set(serials) == held
    assert {number for number in held | asked if number in serials} == held


@given(st.lists(st.integers(-5, 5) | st.integers((1 << 160) - 2, (1 << 161))))
def test_what_no_list_should_have_is_held_as_well(numbers: list[int]) -> None:
    """Negative ones, longer ones, and some twice."""
    serials = Serials(numbers)
    assert set(serials) == set(numbers)
    assert all(number in serials for number in numbers)


@given(NUMBERS, st.integers(0, 159))
def test_a_number_that_differs_in_a_bit_is_another(number: int, bit: int) -> None:
    """In whichever of them."""
    assert number ^ (1 << bit) not in Serials([number])


@pytest.mark.parametrize("other", ["1", b"\x01", 1.0, None])
def test_what_is_no_number_is_not_in_it(other: object) -> None:
    """Nor does it raise."""
    assert other not in Serials([1])


def test_many_runs_become_one() -> None:
    """More than are sorted at once, backwards and each twice."""
    numbers = [number << 100 for number in range(10_000, 0, -1)]
    serials = Serials(numbers * 2)
    assert len(serials) == 10_000
    assert list(serials) == numbers[::-1]


def test_it_takes_twenty_octets_each() -> None:
    """And not much more while it is made."""
    tracemalloc.start()
    try:
        serials = Serials((1 << 158) + number * 7919 for number in range(20_000))
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(serials) == 20_000
    assert now < 20 * 20_000 + 10_000
    assert peak < 3 * 20 * 20_000 + 500_000
    assert sys.getsizeof(serials) < 100
