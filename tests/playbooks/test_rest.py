"""A host rests only where nothing is otherwise than the topology and the CA have it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.certbound.kit.plugins.module_utils.rest import in_the_way
from ansible_collections.certbound.kit.plugins.module_utils.supervision import (
    wait_running,
)
from ansible_collections.certbound.kit.plugins.module_utils.supervisor import (
    Places,
    Supervisor,
)

from tests.playbooks.rolling import PROJECT, Rolling

pytestmark = pytest.mark.rollout

SETTLED = {"identity": "orders@localhost", "changed": False, "needs_issue": False}


@pytest.fixture(scope="module")
def rolling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rolling]:
    """Return a roll-out whose processes run."""
    rolling = Rolling(tmp_path_factory.mktemp("rest"))
    run = rolling.play("site", "--tags", "ca,enrol,services")
    assert run.returncode == 0, run.said
    yield rolling
    rolling.play("down")
    rolling.ours.stop(10)


@pytest.fixture(scope="module")
def params(rolling: Rolling) -> dict[str, Any]:
    """Return what the module is given by the play."""
    inventory = Path(sys.executable).with_name("ansible-inventory")
    said = subprocess.run(
        [inventory, "-i", str(rolling.base / "inventory.yml"), "--host", "localhost"],
        cwd=PROJECT,
        env=rolling.environment(rolling.base / "recap.json"),
        stdout=subprocess.PIPE,
        check=True,
    )
    known = json.loads(said.stdout)
    project = rolling.base / "project"
    # The Python that ran Ansible, by the name that it had for itself.
    configuration = (rolling.root / "run/supervisord.conf").read_text()
    interpreter = configuration.partition("\ncommand=")[2].split()[0]
    return {
        "identities": known["certbound_identities"],
        "processes": [{"owner": None, **one} for one in known["certbound_processes"]],
        "supervised": {
            "root": str(rolling.root),
            "interpreter": interpreter,
            "chdir": str(project),
            "sources": [str(project / "pki"), str(project / "services")],
        },
        "units": None,
        "checkpoint": str(rolling.root / "checkpoint.json"),
        "ledger_head": json.loads((rolling.root / "ledger-head.json").read_text()),
        "ledger_witness": str(rolling.root / "ledger-head.json"),
        "ledger_witness_replace": False,
    }


@contextmanager
def written(path: Path, text: str) -> Iterator[None]:
    """Have another text at `path` for a while, and what was there afterwards."""
    before = path.with_name(path.name + ".kept")
    if path.exists():
        shutil.copy2(path, before)
    path.write_text(text)
    yield
    path.unlink()
    if before.exists():
        before.rename(path)


@contextmanager
def opened(path: Path, mode: int) -> Iterator[None]:
    """Have others read what is at `path` for a while."""
    before = path.stat().st_mode & 0o777
    path.chmod(mode)
    yield
    path.chmod(before)


@contextmanager
def stopped(root: Path, name: str) -> Iterator[None]:
    """Have a process stand still for a while."""
    places = Places(str(root))
    supervisor = Supervisor(places.socket)
    supervisor._ask("stopProcess", name)
    yield
    supervisor.start_stopped()
    document = json.loads((root / "services" / name / "config.json").read_text())
    wait_running(supervisor, places, [{"name": name, **document}], 60)


@contextmanager
def other_generation(current: Path) -> Iterator[None]:
    """Have another generation in use than the one that is served."""
    target, other = current.readlink(), current.parent / "generations" / "abcd"
    shutil.copytree(current.resolve(), other)
    _point(current, Path("generations/abcd"))
    yield
    _point(current, target)
    shutil.rmtree(other)


def _point(link: Path, target: Path) -> None:
    link.unlink()
    link.symlink_to(target)


FAULTS: dict[str, Callable[[Path], Any]] = {
    "config.json": lambda root: written(root / "services/orders/config.json", "{}"),
    "services/stock/config.json": lambda root: opened(
        root / "services/stock/config.json", 0o644
    ),
    "services/edge/config.json": lambda root: opened(root / "services/edge", 0o755),
    "run": lambda root: opened(root / "run", 0o755),
    "broken off": lambda root: written(root / "checkpoint.json", "{}"),
    "supervisord's configuration": lambda root: written(
        root / "run/supervisord.conf", "[supervisord]\n"
    ),
    "orders does not run": lambda root: stopped(root, "orders"),
    "expected abcd": lambda root: other_generation(
        root / "services/stock/identity/current"
    ),
    "is no head": lambda root: written(root / "ledger-head.json", "{}"),
}


def test_nothing_is_in_the_way_of_what_was_rolled_out(params: dict[str, Any]) -> None:
    """What a roll-out has left needs nothing more."""
    assert in_the_way(params, [SETTLED], check=False) is None


def test_who_was_not_told_what_should_run_does_not_know(params: dict[str, Any]) -> None:
    """Unknown is no."""
    asked = {**params, "supervised": None}
    assert in_the_way(asked, [SETTLED], check=False) == "it was not asked"


@pytest.mark.parametrize("part", ["changed", "needs_issue"])
def test_what_was_requested_is_in_the_way(params: dict[str, Any], part: str) -> None:
    """An identity of which something is to be done is named."""
    found = in_the_way(params, [{**SETTLED, part: True}], check=False)
    assert found == "orders@localhost"


@pytest.mark.parametrize("expected", FAULTS)
def test_what_differs_is_in_the_way(
    rolling: Rolling, params: dict[str, Any], expected: str
) -> None:
    """One thing is otherwise, and is named; when it is as before, nothing is."""
    with FAULTS[expected](rolling.root):
        found = in_the_way(params, [SETTLED], check=False)
    assert found is not None
    assert expected in found


def test_changed_code_is_in_the_way(rolling: Rolling, params: dict[str, Any]) -> None:
    """Processes of other code than the project's have to be started anew."""
    with written(rolling.base / "project/services/more.py", ""):
        found = in_the_way(params, [SETTLED], check=False)
    assert found == "supervisord's configuration"


def test_a_configuration_that_supervisord_has_not_read_is_in_the_way(
    rolling: Rolling, params: dict[str, Any]
) -> None:
    """A run that died after writing the configuration is seen."""
    wanted = {**params, "supervised": {**params["supervised"], "sources": []}}
    from_file = rolling.root / "run/supervisord.conf"
    text = from_file.read_text()
    release = text.partition('CERTBOUND_RELEASE="')[2].partition('"')[0]
    empty = "e3b0c44298fc1c14"  # of no files
    with written(from_file, text.replace(release, empty)):
        found = in_the_way(wanted, [SETTLED], check=False)
    assert found == "what supervisord runs"


def test_a_head_that_is_to_be_replaced_is_in_the_way(params: dict[str, Any]) -> None:
    """Whoever accepted a loss has the CA's head kept by the module that does so."""
    asked = {**params, "ledger_witness_replace": True}
    assert in_the_way(asked, [SETTLED], check=False) is not None


def test_a_newer_head_is_kept(rolling: Rolling, params: dict[str, Any]) -> None:
    """What the CA has signed since is what the host has seen from now on."""
    head, path = params["ledger_head"], rolling.root / "ledger-head.json"
    newer = {**head, "sequence": head["sequence"] + 1}
    with written(path, path.read_text()):
        assert in_the_way({**params, "ledger_head": newer}, [], check=False) is None
        assert json.loads(path.read_text()) == newer
        assert in_the_way(params, [], check=False) is not None  # the CA went back


def test_check_mode_keeps_nothing(rolling: Rolling, params: dict[str, Any]) -> None:
    """A look in check mode leaves even the head of the ledger."""
    head, path = params["ledger_head"], rolling.root / "ledger-head.json"
    before = path.read_text()
    newer = {**head, "sequence": head["sequence"] + 1}
    assert in_the_way({**params, "ledger_head": newer}, [], check=True) is None
    assert path.read_text() == before


def test_a_port_that_nobody_serves_is_in_the_way(params: dict[str, Any]) -> None:
    """The look ends at the live ports, whatever supervisord says of the processes."""
    orders = next(one for one in params["processes"] if one["name"] == "orders")
    moved = [
        {**one, "port": 1} if one is orders else one for one in params["processes"]
    ]
    found = in_the_way({**params, "processes": moved}, [SETTLED], check=False)
    assert found is not None
    assert "orders at 127.0.0.1 port 1" in found
