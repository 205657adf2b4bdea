"""Tests of `services.enrolment.kept`: opened seldom, and never out of date."""

from dataclasses import replace
from pathlib import Path
from threading import Barrier, Thread

import pytest

from pki.database import create_ledger
from pki.ledger import Ledger, open_ledger
from services.enrolment.errors import NotPublishedError
from services.enrolment.kept import KeptLedgers
from tests.pki.old_ledger import PLANNED
from tests.services.running import Clock


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a ledger with entries in it."""
    made = tmp_path / "ledger.sqlite"
    create_ledger(made)
    append(made, "1")
    return made


def append(path: Path, serial: str) -> None:
    """Write an entry."""
    with open_ledger(path) as ledger, ledger.transaction():
        ledger.append(replace(PLANNED, serial=serial))


def itself(ledger: Ledger) -> Ledger:
    """Return what is open."""
    return ledger


def newest(ledger: Ledger) -> int:
    """Return the number of the last entry."""
    return ledger.newest()[0]


def test_what_was_opened_serves_the_next(path: Path) -> None:
    """In another thread, too; and it sees what was written since."""
    kept, seen = KeptLedgers(path, Clock()), list[tuple[Ledger, int]]()
    before = kept.read(itself), kept.read(newest)
    append(path, "2")
    asking = Thread(target=lambda: seen.append((kept.read(itself), kept.read(newest))))
    asking.start()
    asking.join()
    assert seen == [(before[0], before[1] + 1)]


def test_two_at_a_time_have_one_each(path: Path) -> None:
    """A connection has one reader."""
    kept, both = KeptLedgers(path, Clock()), Barrier(2)
    seen: list[Ledger] = []

    def meet(ledger: Ledger) -> None:
        both.wait(10)
        seen.append(ledger)

    threads = [Thread(target=kept.read, args=(meet,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*map(id, seen)}) == 2


def test_a_refusal_closes_nothing(path: Path) -> None:
    """It says something of what is asked for, not of the ledger."""
    kept = KeptLedgers(path, Clock())
    before = kept.read(itself)

    def refuse(_ledger: Ledger) -> None:
        raise NotPublishedError("no such list")

    with pytest.raises(NotPublishedError):
        kept.read(refuse)
    assert kept.read(itself) is before


def test_what_broke_off_is_opened_again(path: Path) -> None:
    """And its reader hears nothing of it."""
    kept = KeptLedgers(path, Clock())
    kept.read(itself).connection.raw.close()  # type: ignore[attr-defined]  # SQLite's
    assert kept.read(newest) > 0


@pytest.mark.parametrize("seconds", [60, -60])
def test_nothing_stays_open_for_long(path: Path, seconds: int) -> None:
    """A minute, by a clock that may go back."""
    clock = Clock()
    kept = KeptLedgers(path, clock)
    before = kept.read(itself)
    clock.move(seconds=seconds)
    assert kept.read(itself) is not before


def test_another_file_is_another_ledger(path: Path, tmp_path: Path) -> None:
    """What was restored in the place of the first is read at once."""
    kept = KeptLedgers(path, Clock())
    assert kept.read(newest) > 0
    other = tmp_path / "other.sqlite"
    create_ledger(other)
    other.replace(path)
    assert kept.read(newest) == 0


def test_what_is_gone_is_not_read(path: Path) -> None:
    """Though it is open still."""
    kept = KeptLedgers(path, Clock())
    kept.read(itself)
    path.unlink()
    with pytest.raises(OSError, match=r"ledger\.sqlite"):
        kept.read(newest)


def test_few_stay_open(path: Path) -> None:
    """Of five that were read at a time, four; and none in the end."""
    kept, all_ = KeptLedgers(path, Clock()), Barrier(5)
    seen: list[Ledger] = []

    def meet(ledger: Ledger) -> None:
        all_.wait(10)
        seen.append(ledger)

    threads = [Thread(target=kept.read, args=(meet,)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [_is_open(one) for one in seen].count(True) == 4
    kept.close()
    assert not any(_is_open(one) for one in seen)


def _is_open(ledger: Ledger) -> bool:
    try:
        ledger.newest()
    except Exception:  # noqa: BLE001 - SQLite's own, of a closed connection
        return False
    return True
