"""What a run ends with: what the judges have said (`tests/judges`).

pytest reads this file in the process that writes the summary; those of folders it reads
in the workers alone, when tests run side by side.
"""

import pytest

from tests.judges.verdicts import table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the judges, by name and version, if there were any."""
    passed = terminalreporter.getreports("passed")
    lines = table(report for report in passed if report.when == "call")
    if lines:
        terminalreporter.section("independent judges")
        for line in lines:
            terminalreporter.write_line(line)
