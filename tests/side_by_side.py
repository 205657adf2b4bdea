"""What runs on which worker when tests run side by side (`pytest -n 3`).

A file's tests stay together, in their order. The roll-outs on the lab are one thing
over several files, since they share its hosts, and begin first: they take longest.
"""

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

_LAB = "tests/playbooks/test_lab_"


class ByFile(LoadScopeScheduling):
    """Give out whole files, and the lab's as one."""

    def _split_scope(self, nodeid: str) -> str:
        return scope(nodeid)


def scope(nodeid: str) -> str:
    """Return what a test must run together with."""
    return _LAB if nodeid.startswith(_LAB) else nodeid.partition("::")[0]


def longest_first(items: list[pytest.Item]) -> None:
    """Put the lab's roll-outs first and leave the others in their order."""
    items.sort(key=lambda item: scope(item.nodeid) != _LAB)
