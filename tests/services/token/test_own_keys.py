"""Tests of `services.token.own_keys`: keys that follow one another in time."""

import logging
import sys
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from services.token.key_files import KeyFiles
from services.token.own_keys import OwnKeys
from services.token.rotation import KEPT, Schedule
from services.token.signing_keys import SigningKeyError
from tests.services.logged import lines, listen
from tests.services.running import Clock

INTERVAL = timedelta(days=30)
LEAD = timedelta(hours=1)


class Rotating:
    """The keys of one state directory, which can be restarted."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.clock = Clock()
        self.passed = 1.0  # seconds between two looks at a clock that only rises
        self._seconds = 0.0
        self.schedule = Schedule(INTERVAL, LEAD)
        self.keys = self.restarted()

    def restarted(self) -> OwnKeys:
        """Return the keys as a new process finds them."""
        return OwnKeys(self.state, lambda: self.schedule, self.clock, self.monotonic)

    def monotonic(self) -> float:
        """Return seconds."""
        self._seconds += self.passed
        return self._seconds

    def move(self, step: timedelta) -> None:
        """Let time pass."""
        self.clock.moment += step

    def signing(self) -> str:
        """Return the id of the key that signs."""
        return self.keys.signing().key_id

    def published(self) -> set[str]:
        """Return the ids of the published keys."""
        return {key.key_id for key in self.keys.published()}


@pytest.fixture
def rotating(tmp_path: Path) -> Rotating:
    """Return keys in a new state directory."""
    return Rotating(tmp_path / "state")


def test_one_key_follows_another(rotating: Rotating) -> None:
    """Published, then used, then published only, then gone (O135)."""
    first = rotating.signing()
    assert rotating.published() == {first}
    rotating.move(INTERVAL - LEAD)
    assert rotating.signing() == first
    (second,) = rotating.published() - {first}
    rotating.move(LEAD - timedelta(seconds=1))
    assert rotating.signing() == first
    rotating.move(timedelta(seconds=1))
    assert rotating.signing() == second
    assert rotating.published() == {first, second}
    rotating.move(KEPT)
    assert rotating.published() == {second}


def test_the_disk_is_left_alone_in_between(
    rotating: Rotating, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing is due, a token costs a look at the clock."""
    monkeypatch.setattr(KeyFiles, "read", None)
    rotating.move(INTERVAL - LEAD - timedelta(seconds=1))
    assert {rotating.signing()} == rotating.published()


@pytest.mark.parametrize("stage", range(4))
def test_a_restart_changes_nothing(rotating: Rotating, stage: int) -> None:
    """At every stage a new process finds the keys of the one before."""
    for step in (INTERVAL - LEAD, LEAD, KEPT)[:stage]:
        rotating.move(step)
        rotating.published()
    before = rotating.signing(), rotating.published()
    rotating.keys = rotating.restarted()
    assert (rotating.signing(), rotating.published()) == before


def test_after_a_long_rest_no_key_is_used_before_it_is_known(
    rotating: Rotating,
) -> None:
    """A process that was down for months signs on with its old key at first."""
    first = rotating.signing()
    rotating.move(5 * INTERVAL)
    rotating.keys = rotating.restarted()
    assert rotating.signing() == first
    assert len(rotating.published()) == 2
    rotating.move(LEAD)
    assert rotating.signing() != first


def test_a_retired_key_leaves_no_private_half(rotating: Rotating) -> None:
    """Who steals the state directory cannot sign as an earlier key."""
    rotating.move(INTERVAL - LEAD)
    rotating.published()
    rotating.move(LEAD)
    rotating.published()
    private = [
        path for path in rotating.state.iterdir() if b"PRIVATE" in path.read_bytes()
    ]
    assert len(list(rotating.state.iterdir())) == 2
    assert len(private) == 1


def test_a_clock_that_went_back_still_signs(rotating: Rotating) -> None:
    """A retired key cannot sign again; the one that can is used."""
    rotating.move(INTERVAL - LEAD)
    rotating.published()
    rotating.move(LEAD)
    second = rotating.signing()
    rotating.move(-INTERVAL)
    assert rotating.signing() == second


def test_a_shorter_interval_counts_at_once(rotating: Rotating) -> None:
    """A new configuration does not wait for the next look at the disk."""
    rotating.move(timedelta(days=2))
    assert len(rotating.published()) == 1
    rotating.schedule = Schedule(timedelta(days=1), LEAD)
    assert len(rotating.published()) == 2


def test_a_disk_that_fails_leaves_the_keys_that_are_there(
    rotating: Rotating,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An older key signs no worse; the log tells, once a minute, until it works."""
    first = rotating.signing()
    rotating.move(INTERVAL)
    with monkeypatch.context() as failing:
        failing.setattr(KeyFiles, "make", _fail)
        assert rotating.signing() == rotating.signing() == first
        (line,) = lines(caplog)
        assert (line["event"], line["level"]) == ("signing_key.not_rotated", "error")
    rotating.move(timedelta(minutes=1))
    assert len(rotating.published()) == 2


def test_a_key_that_is_waiting_begins_though_the_disk_fails(
    rotating: Rotating, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody knows it already."""
    rotating.move(INTERVAL - LEAD)
    (second,) = rotating.published() - {rotating.signing()}
    monkeypatch.setattr(KeyFiles, "read", _fail)
    rotating.move(LEAD)
    assert rotating.signing() == second


def test_every_step_is_logged(
    rotating: Rotating, caplog: pytest.LogCaptureFixture
) -> None:
    """The log tells which key was made, retired and forgotten, and no key."""
    listen(caplog)
    first = rotating.signing()
    for step in (INTERVAL - LEAD, LEAD, KEPT):
        rotating.move(step)
        rotating.published()
    second = rotating.signing()
    assert [(line["event"], line["key_id"]) for line in lines(caplog)] == [
        ("signing_key.made", second),
        ("signing_key.retired", first),
        ("signing_key.forgotten", first),
    ]


def test_a_directory_of_public_keys_alone_is_refused(rotating: Rotating) -> None:
    """Nothing could be signed, and what happened to the private half is unknown."""
    files = KeyFiles(rotating.state)
    (file,) = files.read()
    files.retire(file)
    with pytest.raises(SigningKeyError, match="not a private P-256 key"):
        rotating.restarted()


def test_two_that_start_together_agree(tmp_path: Path) -> None:
    """Whoever is first makes the key; nobody makes a second."""
    program = (
        "import pathlib, sys; from datetime import timedelta;"
        "from pki.clock import utc_now;"
        "from services.token.own_keys import OwnKeys;"
        "from services.token.rotation import Schedule;"
        "schedule = Schedule(timedelta(days=30), timedelta(hours=1));"
        "keys = OwnKeys(pathlib.Path(sys.argv[1]), lambda: schedule, utc_now);"
        "print(keys.signing().key_id)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "state")]
    both = [Popen(command, stdout=PIPE, text=True) for _ in range(2)]
    ids = {process.communicate(timeout=60)[0].strip() for process in both}
    assert len(ids) == 1
    assert len(list((tmp_path / "state").iterdir())) == 1


def _fail(*_args: object) -> None:
    logging.getLogger(__name__).info("the disk fails")
    raise SigningKeyError("the disk is full")


def test_a_key_signs_a_moment_without_a_look_at_the_disk(rotating: Rotating) -> None:
    """Tokens see what somebody did to the files a tenth of a second later."""
    first = rotating.signing()
    rotating.passed = 0.06
    KeyFiles(rotating.state).make(rotating.clock.moment + timedelta(minutes=1))
    rotating.move(timedelta(minutes=1, seconds=1))
    assert rotating.signing() == first
    assert rotating.signing() != first


def test_a_key_set_is_never_late(rotating: Rotating) -> None:
    """What it shows signs from then on, and what it shows no more does not."""
    first = rotating.signing()
    rotating.passed = 0.0
    KeyFiles(rotating.state).make(rotating.clock.moment + timedelta(minutes=1))
    rotating.move(timedelta(minutes=1, seconds=1))
    assert len(rotating.published()) > 1
    assert rotating.signing() != first


def test_the_clock_is_looked_at_for_each_token(rotating: Rotating) -> None:
    """A key that is due begins in its second, however short ago the disk was seen."""
    first = rotating.signing()
    rotating.passed = 0.0
    rotating.move(INTERVAL - LEAD)
    assert rotating.signing() == first
    rotating.move(LEAD)
    assert rotating.signing() != first
