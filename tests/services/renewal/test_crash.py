"""Killed with SIGKILL at whatever step: a whole generation is in place, always."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]


def test_an_installation_killed_anywhere_leaves_a_whole_generation(
    tmp_path: Path,
) -> None:
    """The one before or the new one; the next renewal clears up what was left."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.services.renewal.killing", str(tmp_path)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    installed, taken, back = map(int, done.stdout.split())
    assert installed > 20
    assert 1 <= taken < installed
    assert back > 4
