"""Broken off at whatever step: a whole generation is in place, always."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.pki import filling

PROJECT = Path(__file__).parents[3]


def break_off(how: str, home: Path) -> list[int]:
    """Return what the process says that does it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.services.renewal.killing", how, str(home)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(map(int, done.stdout.split()))


def test_an_installation_killed_anywhere_leaves_a_whole_generation(
    tmp_path: Path,
) -> None:
    """The one before or the new one; the next renewal clears up what was left."""
    installed, taken, back = break_off("killed", tmp_path)
    assert installed > 20
    assert 1 <= taken < installed
    assert back > 4


@pytest.mark.skipif(filling.why_not() is not None, reason=str(filling.why_not()))
def test_an_installation_on_a_full_disk_leaves_a_whole_generation(
    tmp_path: Path,
) -> None:
    """However many pages, or files, there are left; with room it is done."""
    runs, taken = break_off("full", tmp_path)
    assert runs > 8
    assert taken < runs - 2
