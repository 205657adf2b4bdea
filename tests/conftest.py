"""Which tests share a worker when the suite runs side by side, and what it ends with.

A file's tests stay together, so that what a module fixture starts is started once. All
that roll out, or boot hosts, stay with one worker: they would compete for the machine,
and its timeouts are for a machine that they have to themselves.

At the end stands what the judges have said (`tests/judges`). pytest reads this file in
the process that writes the summary; those of folders it reads in the workers alone.
"""

import pytest

from tests.judges.verdicts import table

ALONE = ("lab", "rollout")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the name of its group."""
    for item in items:
        alone = any(item.get_closest_marker(name) for name in ALONE)
        group = "machine" if alone else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of the judges, by name and version, if there were any."""
    passed = terminalreporter.getreports("passed")
    lines = table(report for report in passed if report.when == "call")
    if lines:
        terminalreporter.section("independent judges")
        for line in lines:
            terminalreporter.write_line(line)
