"""Many issues, killed at random moments: none is lost, no serial used twice.

`make crash` issues 10,000, or as many as N says.
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pki.breaking import PROJECT
from tests.pki.builders import ADDRESSES, Ca, policy_document
from tests.pki.enduring import IDENTITIES

COUNT = int(os.environ.get("CERTBOUND_ISSUES", "100"))


def print_line(config: pytest.Config, line: str) -> None:
    """Say it at the terminal; a worker of many has none."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        reporter.write_line(line)


@pytest.mark.endurance
def test_issues_killed_at_random_lose_none(
    place: Path, pytestconfig: pytest.Config
) -> None:
    """All are handed out once and on record; a plan without one is a kill's."""
    services = [f"service-{number}" for number in range(IDENTITIES)]
    Ca.found(place / "ca", policy_document(services, addresses=ADDRESSES))
    seed = random.SystemRandom().randrange(2**32)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.pki.enduring", place / "ca"),
            *(str(COUNT), str(seed)),
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    said = json.loads(done.stdout)
    print_line(pytestconfig, f"\nissued and killed at random, seed {seed}: {said}")
    assert said["handed_out"] == COUNT
    assert said["plans_without_a_certificate"] <= said["kills"]
    assert said["kills"] > COUNT / 100
