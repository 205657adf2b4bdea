"""Fixtures of the tests in which independent software judges ours."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.judges import npm
from tests.judges.standing import Standing, standing
from tests.judges.verdicts import Verdict
from tests.services.mesh import Mesh

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.judges)


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Return the CA of shop.internal."""
    return Mesh(tmp_path_factory.mktemp("mesh"))


@pytest.fixture(scope="session")
def stand(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Return token service and orders, as processes."""
    with standing(mesh, tmp_path_factory.mktemp("standing")) as made:
        yield made


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> npm.Node:
    """Return the scripts of `node/`, ready to run."""
    return npm.ready(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="session")
def heard(stand: Standing, node: npm.Node) -> Callable[[str], Any]:
    """Return what a client of npm has met with; each is asked once."""
    known: dict[str, Any] = {}

    def hear(name: str) -> Any:
        if name not in known:
            known[name] = node.run(f"{name}.mjs", stand.given())
        return known[name]

    return hear


@pytest.fixture
def verdict(request: pytest.FixtureRequest) -> Verdict:
    """Return where a test notes what a judge has said."""
    item: pytest.Item = request.node
    return Verdict(item)
