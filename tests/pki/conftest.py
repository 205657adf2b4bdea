"""Fixtures for all tests of `pki`: a CA on the disk, and one that signs anything.

`tests/pki/builders.py` says what the two can do.
"""

from pathlib import Path

import pytest

from tests.pki.builders import Ca, Forge


@pytest.fixture
def ca(tmp_path: Path) -> Ca:
    """Return a new CA that knows orders@localhost and stock@localhost."""
    return Ca.found(tmp_path / "ca")


@pytest.fixture(scope="session")
def forge() -> Forge:
    """Return keys of a root and an issuing CA that sign whatever a test wants."""
    return Forge()
