"""The collection is one: it documents itself, builds and runs when installed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.rollout

BIN = Path(sys.executable).parent


def run(
    *command: str, cwd: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment; it must succeed."""
    path = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [BIN / command[0], *command[1:]],
        cwd=cwd,
        env=os.environ | path | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.mark.parametrize("kind", ["module", "inventory", "callback"])
def test_everything_is_documented(project: Path, kit: Path, kind: str) -> None:
    """Every plugin has documentation that Ansible can read."""
    folder = kit / "plugins" / (f"{kind}s" if kind == "module" else kind)
    names = [f"certbound.kit.{path.stem}" for path in sorted(folder.glob("*.py"))]
    done = run("ansible-doc", "-t", kind, "--json", *names, cwd=project)
    documented = json.loads(done.stdout)
    assert sorted(documented) == names
    for name in names if kind == "module" else []:
        assert documented[name]["examples"]
        assert documented[name]["return"]
        attributes = documented[name]["doc"]["attributes"]
        assert attributes["check_mode"]["support"] == "full"


def test_it_runs_when_installed(project: Path, kit: Path, tmp_path: Path) -> None:
    """Built and installed elsewhere, `certbound.kit.site` is the same playbook."""
    run("ansible-galaxy", "collection", "build", str(kit), cwd=tmp_path)
    (archive,) = tmp_path.glob("certbound-kit-*.tar.gz")
    place = str(tmp_path / "installed")
    run(
        *("ansible-galaxy", "collection", "install", "--offline", "-p", place),
        str(archive),
        cwd=tmp_path,
    )
    inventory = (project / "playbooks" / "inventory" / "local.yml").read_text()
    for relative, absolute in (
        ("../topology.yml", project / "playbooks" / "topology.yml"),
        ("../../certs", tmp_path / "certs"),
        ("../..", project),
    ):
        inventory = inventory.replace(f": {relative}\n", f": {absolute}\n")
    (tmp_path / "inventory.yml").write_text(inventory)
    done = run(
        *("ansible-playbook", "-i", "inventory.yml", "certbound.kit.site"),
        "--list-tasks",
        cwd=tmp_path,
        ANSIBLE_COLLECTIONS_PATH=place,
    )
    assert "Sign all requests at once" in done.stdout


def test_environment_wins_over_the_inventory(project: Path, tmp_path: Path) -> None:
    """A second roll-out needs a topology and a root, and no inventory of its own."""
    sample = (project / "playbooks" / "topology.yml").read_text()
    topology = tmp_path / "topology.yml"
    topology.write_text(sample.replace("shop.internal", "shop.test"))
    done = run(
        "ansible-inventory",
        "--host",
        "localhost",
        cwd=project,
        CERTBOUND_TOPOLOGY=str(topology),
        CERTBOUND_ROOT=str(tmp_path / "certs"),
    )
    assert "shop.test" in done.stdout
    assert str(tmp_path / "certs" / "services" / "orders") in done.stdout
