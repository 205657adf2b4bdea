"""What the tests of the report share: one deployment, looked at and stolen from."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from services.drill.drill import run_drill
from services.probe import probe
from tests.services.deployed import Running, deployed
from tests.services.mesh import Mesh


@pytest.fixture(scope="module")
def running(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return the sample topology, running."""
    with deployed(mesh, tmp_path_factory.mktemp("deployed")) as started:
        yield started


@pytest.fixture(scope="module")
def seen(running: Running) -> dict[str, Any]:
    """Return the document that the roll-out gives to the report."""
    return {
        "probe": msgspec.to_builtins(probe(running.deployment)),
        "drill": msgspec.to_builtins(run_drill(running.deployment)),
        "deployment": json.loads(running.path.read_text()),
        "run": {"id": "a-run", "ansible": "2.19.14", "renew_before": 1200},
    }
