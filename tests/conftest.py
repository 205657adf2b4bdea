"""What a run begins and ends with: the order of tests, what the judges have said.

pytest reads this file in the process that writes the summary; those of folders it reads
in the workers alone, when tests run side by side.
"""

import pytest
from xdist.remote import Producer

from tests import quick, side_by_side
from tests.judges.verdicts import table


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have what takes longest begin first, and know what is not quick."""
    side_by_side.longest_first(items)
    quick.mark(items)


def pytest_xdist_make_scheduler(
    config: pytest.Config, log: Producer
) -> side_by_side.ByFile:
    """Keep the tests of a file together."""
    return side_by_side.ByFile(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the judges, by name and version, if there were any."""
    passed = terminalreporter.getreports("passed")
    lines = table(report for report in passed if report.when == "call")
    if lines:
        terminalreporter.section("independent judges")
        for line in lines:
            terminalreporter.write_line(line)
