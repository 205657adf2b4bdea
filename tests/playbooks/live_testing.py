"""Run `pytest --inventory` on a roll-out, and read from its JUnit what it has said."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

PROJECT = Path(__file__).parents[2]


def command(inventory: Path, junit: Path) -> list[str]:
    """Return the command that tests what `inventory` describes."""
    options = [
        f"--inventory={inventory}",
        f"--junitxml={junit}",
        "-p",
        "no:cacheprovider",
    ]
    return [sys.executable, "-m", "pytest", *options, "tests/live"]


@dataclass(frozen=True)
class Verdict:
    """What the tests have said of a deployment: each case, and its faults."""

    run: subprocess.CompletedProcess[str]
    cases: Mapping[str, Sequence[str]]

    @property
    def failed(self) -> set[str]:
        """The tests that failed or could not begin."""
        return {
            name for name, said in self.cases.items() if {"failure", "error"} & {*said}
        }


def verdict(
    argv: Sequence[str], junit: Path, environment: Mapping[str, str] | None = None
) -> Verdict:
    """Run such a command, from wherever the hosts can be reached."""
    run = subprocess.run(
        argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False
    )
    cases = {
        case.get("name", ""): [child.tag for child in case]
        for case in ET.parse(junit).getroot().iter("testcase")  # noqa: S314
    }
    return Verdict(run, cases)
