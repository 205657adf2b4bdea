"""A day on seven Debian hosts of two releases, a run a fixture.

    pytest_plugins = ["tests.playbooks.lab_fixtures"]

The lab is booted once, and the files that use it follow each other: the first roll-out
(1), day two (2), the worst day (3). Each fixture needs the one before; a test that
breaks something repairs it.
"""

from collections.abc import Iterator

import pytest

from tests.lab.fixtures import booted
from tests.lab.fleet import DEFAULT
from tests.playbooks.lab_day import AT_ONCE, CA, Day
from tests.playbooks.lab_rolling import LabRolling
from tests.playbooks.rolling import Run


@pytest.fixture(scope="session")
def lab_rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabRolling]:
    """Return a lab with nothing on it."""
    with booted("rollout", DEFAULT) as lab:
        rolling = LabRolling(lab, tmp_path_factory.mktemp("lab"))
        rolling.prepare()
        yield rolling


@pytest.fixture(scope="session")
def foreseen(lab_rolling: LabRolling) -> Run:
    """Check mode on an empty fleet."""
    run = lab_rolling.play("site", "--check", "--diff")
    assert run.returncode == 0, run.said
    for host in (CA, *lab_rolling.instances()):
        assert lab_rolling.lab.ssh.attempt(host, "ls /var/lib/certbound").returncode
    return run


@pytest.fixture(scope="session")
def broken_off(lab_rolling: LabRolling, foreseen: Run) -> str:
    """The first roll-out, whose controller is killed while the CA is being made."""
    return lab_rolling.kill_at("Have a root, an issuing CA, a ledger and the policy")


@pytest.fixture(scope="session")
def first(lab_rolling: LabRolling, broken_off: str) -> Day:
    """Run the roll-out to its end, as talkative as it gets."""
    run = lab_rolling.play("site", "-vvv", "--diff")
    assert run.returncode == 0, run.said
    return Day(lab_rolling, run)


@pytest.fixture(scope="session")
def second(lab_rolling: LabRolling, first: Day) -> Day:
    """The same once more."""
    run = lab_rolling.play("site", *AT_ONCE, "--diff", "--skip-tags", "drill")
    assert run.returncode == 0, run.said
    return Day(lab_rolling, run)
