"""What the tests of the roll-out share: the collection's import path, the sample."""

import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
COLLECTIONS = PROJECT / "playbooks" / "collections"

# As Ansible's loader would have it: `ansible_collections` is a namespace.
sys.path.insert(0, str(COLLECTIONS))


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
