"""Fixtures for all tests of `pki`: a CA on the disk, and one that signs anything.

`tests/pki/builders.py` says what the two can do.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pki.ceremony import hall
from pki.layout import Layout
from tests.pki.builders import ADDRESSES, Ca, Forge, policy_document
from tests.pki.ceremonies import MAKE_ROOT, Two
from tests.pki.postgres_server import PostgresServer
from tests.pki.stores import Store


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """Return a server for all tests that leave it alone."""
    with PostgresServer.started() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return where an empty ledger can be made, of each engine."""
    if request.param == "sqlite":
        return Store(tmp_path / "ledger.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    return Store(server.settle(tmp_path / "ledger.json"), server)


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
def founded_with_addresses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of a CA whose certificates point to lists; copy it."""
    directory = tmp_path_factory.mktemp("founded") / "ca"
    Ca.found(directory, policy_document(addresses=ADDRESSES))
    return directory


@pytest.fixture
def telling(founded_with_addresses: Path, tmp_path: Path) -> Ca:
    """Return a new CA whose certificates say where their revocation is told."""
    return Ca.at(Path(shutil.copytree(founded_with_addresses, tmp_path / "ca")))


@pytest.fixture
def loaded_by() -> Callable[[str], set[str]]:
    """Return what tells which modules of `pki` one of them loads."""

    def ask(module: str) -> set[str]:
        script = f"import sys, {module}; print(*sys.modules)"
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True
        )
        return {name for name in done.stdout.split() if name.startswith("pki.")}

    return ask


@pytest.fixture(scope="session")
def forge() -> Forge:
    """Return keys of a root and an issuing CA that sign whatever a test wants."""
    return Forge()


@pytest.fixture
def two(tmp_path: Path) -> Two:
    """Return two machines with nothing on them."""
    (tmp_path / "desk").mkdir()
    return Two(Layout(tmp_path / "ca"), Layout(tmp_path / "offline"), tmp_path / "desk")


@pytest.fixture
def held(two: Two) -> hall.Outcome:
    """Hold the first ceremony: a root, and the issuing CA that was asked for."""
    return two.hold("first-root", MAKE_ROOT, two.ask())


@pytest.fixture
def under(two: Two, held: hall.Outcome) -> Two:
    """Return the two after the result was taken home."""
    assert two.take(held).changed
    return two
