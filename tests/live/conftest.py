"""Tests of a deployment that runs: `pytest --inventory PATH tests/live`.

For whoever has rolled a topology out and wants to know, any day, whether it is as the
topology says. Nothing on any host is changed. The inventory is read once, the hosts are
looked at once, and every test is about one host, one identity, one service or one call.
`--junitxml FILE` makes a report for machines; `report.html`, beside the deployment's
description, is the one for people.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.fleet import Fleet, FleetError, Seen, look, read_fleet

if TYPE_CHECKING:
    from collections.abc import Iterable

_HERE = Path(__file__).parent
_NO_INVENTORY = "no --inventory: these tests are about a deployment that runs"
_FLEET = pytest.StashKey[Fleet]()
_PAGE = pytest.StashKey[Path]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that says which deployment."""
    parser.addoption(
        "--inventory",
        metavar="PATH",
        help="the Ansible inventory of a deployment to test (tests/live)",
    )


def pytest_sessionstart(session: pytest.Session) -> None:
    """Read the inventory, before any test is made of it."""
    inventory = session.config.getoption("inventory", default=None)
    if inventory:
        try:
            fleet = read_fleet(Path(inventory).absolute())
        except FleetError as error:
            raise pytest.UsageError(str(error)) from None
        session.config.stash[_FLEET] = fleet


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make of one test as many as the inventory has hosts, identities and calls."""
    fleet = _fleet_of(metafunc.config)
    for name in ("host", "identity", "service", "allowed", "refused"):
        if name in metafunc.fixturenames:
            cases = _cases(fleet, name) if fleet else {"none": None}
            metafunc.parametrize(name, list(cases.values()), ids=list(cases))


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Skip what is in this folder if there is no inventory."""
    for item in items:
        if item.path.is_relative_to(_HERE) and _fleet_of(config) is None:
            item.add_marker(pytest.mark.skip(reason=_NO_INVENTORY))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say where the page is."""
    page = config.stash.get(_PAGE, None)
    if page is not None:
        terminalreporter.write_line(f"report: {page}")


@pytest.fixture(scope="session")
def fleet(request: pytest.FixtureRequest) -> Fleet:
    """Return what the inventory says."""
    fleet = _fleet_of(request.config)
    assert fleet is not None, _NO_INVENTORY
    return fleet


@pytest.fixture(scope="session")
def seen(fleet: Fleet, request: pytest.FixtureRequest) -> Seen:
    """Return what the one look at the deployment has found."""
    found = look(fleet)
    request.config.stash[_PAGE] = found.page
    return found


def _fleet_of(config: pytest.Config) -> Fleet | None:
    return config.stash.get(_FLEET, None)


def _cases(fleet: Fleet, name: str) -> dict[str, object]:
    pairs = {"allowed": fleet.allowed, "refused": fleet.refused}
    if name in pairs:
        return {
            f"{caller}->{callee}": (caller, callee) for caller, callee in pairs[name]
        }
    names: dict[str, Iterable[str]] = {
        "host": fleet.hosts,
        "identity": fleet.identities,
        "service": fleet.services,
    }
    return {one: one for one in names[name]}
