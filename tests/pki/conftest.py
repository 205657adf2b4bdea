"""Fixtures for all tests of `pki`: a CA on the disk, and one that signs anything.

`tests/pki/builders.py` says what the two can do.
"""

import shutil
from pathlib import Path

import pytest

from tests.pki.builders import Ca, Forge


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a CA that nobody may touch: it is copied."""
    directory = tmp_path_factory.mktemp("founded") / "ca"
    Ca.found(directory)
    return directory


@pytest.fixture
def ca(founded: Path, tmp_path: Path) -> Ca:
    """Return a new CA that knows orders@localhost and stock@localhost."""
    return Ca.at(Path(shutil.copytree(founded, tmp_path / "ca")))


@pytest.fixture(scope="session")
def forge() -> Forge:
    """Return keys of a root and an issuing CA that sign whatever a test wants."""
    return Forge()
