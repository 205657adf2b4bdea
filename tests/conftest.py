"""Which tests share a worker when the suite runs side by side (`make test`).

A file's tests stay together, so that what a module fixture starts is started once. All
that roll out, or boot hosts, stay with one worker: they would compete for the machine,
and its timeouts are for a machine that they have to themselves.
"""

import pytest

ALONE = ("lab", "rollout")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each test the name of its group."""
    for item in items:
        alone = any(item.get_closest_marker(name) for name in ALONE)
        group = "machine" if alone else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
