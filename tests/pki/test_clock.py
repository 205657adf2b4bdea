"""The time, in whole seconds of UTC."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pki import clock


def test_now_has_no_fraction_and_a_zone() -> None:
    """Certificates know whole seconds of UTC only."""
    now = clock.utc_now()
    assert now.microsecond == 0
    assert now.utcoffset() == timedelta(0)


def test_text_is_rfc_3339_in_utc() -> None:
    """A moment in another zone is written in UTC, and read back the same."""
    moment = datetime(2026, 11, 22, 18, 35, 16, tzinfo=timezone(timedelta(hours=1)))
    assert clock.to_text(moment) == "2026-11-22T17:35:16Z"
    assert clock.from_text("2026-11-22T17:35:16Z") == moment.astimezone(UTC)


@pytest.mark.parametrize("text", ["2026-11-22T17:35:16+00:00", "2026-11-22", ""])
def test_other_forms_are_refused(text: str) -> None:
    """Only the one form is read."""
    with pytest.raises(ValueError, match=r"no moment|isoformat"):
        clock.from_text(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(86400 * 180, "180d"), (86400, "24h"), (3660, "61m"), (60, "60s"), (0, "0s")],
)
def test_lengths_are_in_whole_units(seconds: int, words: str) -> None:
    """As the topology says them, so that a sum there and here reads the same."""
    assert clock.in_words(timedelta(seconds=seconds)) == words
