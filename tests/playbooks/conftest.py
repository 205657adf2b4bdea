"""What the tests of the roll-out share: import path, sample topology, a CA."""

import shutil
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
COLLECTIONS = PROJECT / "playbooks" / "collections"

# As Ansible's loader would have it: `ansible_collections` is a namespace.
sys.path.insert(0, str(COLLECTIONS))

from tests.playbooks.enrolling import Enrolling  # noqa: E402 -- needs that path


@pytest.fixture(scope="session")
def project() -> Path:
    """Return the project's root."""
    return PROJECT


@pytest.fixture(scope="session")
def kit() -> Path:
    """Return the collection's directory."""
    return COLLECTIONS / "ansible_collections" / "certbound" / "kit"


@pytest.fixture(scope="session")
def sample() -> str:
    """Return the sample topology's text."""
    return (PROJECT / "playbooks" / "topology.yml").read_text()


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with a CA in it, and an identity enrolled."""
    enrolling = Enrolling(tmp_path_factory.mktemp("founded"))
    enrolling.found()
    enrolling.install(enrolling.sign(enrolling.ask()))
    return enrolling.root


@pytest.fixture
def enrolled(founded: Path, tmp_path: Path) -> Enrolling:
    """Return an enrolled identity that a test may spoil."""
    root = tmp_path / "certs"
    shutil.copytree(founded, root, symlinks=True)
    return Enrolling(root)
