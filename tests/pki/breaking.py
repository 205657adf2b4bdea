"""What crash tests share: all runs of one thing, each broken off at another step."""

import subprocess
import sys
from pathlib import Path

import pytest

from pki.entry import Entry
from pki.ledger import open_ledger
from tests.pki import filling
from tests.pki.builders import Ca

PROJECT = Path(__file__).parents[2]


def break_off(how: str, verb: str, *arguments: Path) -> int:
    """Return how many runs there were, all but the last one broken off."""
    if how == "full" and (reason := filling.why_not()):
        pytest.skip(reason)
    done = subprocess.run(
        [sys.executable, "-m", "tests.pki.crashing", how, verb, *arguments],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def entries(ca: Ca) -> list[Entry]:
    """Return the entries of a ledger that verifies."""
    with open_ledger(ca.layout.ledger) as ledger:
        ledger.verify()
        return list(ledger.entries())


def serials(listed: list[Entry], event: str) -> set[str]:
    """Return the serials of all entries of one kind."""
    return {entry.serial for entry in listed if entry.event == event}
