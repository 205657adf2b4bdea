"""One running deployment for the tests of the probe, the drill and the report."""

from collections.abc import Iterator

import pytest

from tests.services.deployed import Running, deployed
from tests.services.mesh import Mesh


@pytest.fixture(scope="module")
def running(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return the sample topology, running."""
    with deployed(mesh, tmp_path_factory.mktemp("deployed")) as started:
        yield started
