"""Tests of `services.guard.vitals`: what a guarded service cannot do without."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.guard.vitals import ServiceVitals
from services.guard.workload import Workload
from services.operations.vitals import Part
from tests.services.documents import ISSUER, write
from tests.services.guarding import workload
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import Tokens, token_service


@pytest.fixture
def tokens(mesh: Mesh, serve: Serve, tmp_path: Path) -> Iterator[Tokens]:
    """Return a token service."""
    (tmp_path / "tokens").mkdir()
    with token_service(mesh, serve, tmp_path / "tokens") as running:
        yield running


@pytest.fixture
def orders(mesh: Mesh) -> Instance:
    """Return the instance that is looked at."""
    return mesh.instance("orders")


def made(tokens: Tokens, orders: Instance, directory: Path, **changes: Any) -> Workload:
    """Return a workload that asks which tokens are void, and remembers proofs."""
    address = {
        "issuer": ISSUER,
        "token_endpoint": f"{tokens.url}/token",
        "jwks_uri": f"{tokens.url}/jwks",
        "revocations_uri": f"{tokens.url}/revocations",
        "spiffe_id": str(tokens.instance.spiffe_id),
    } | changes
    state = directory / "state"
    state.mkdir(exist_ok=True)
    return workload(tokens, orders, directory, token_service=address, state=str(state))


def looks(own: Workload, clock: Any, *pauses: float) -> list[Mapping[str, Part]]:
    """Return how the parts are, once for each pause and after it."""

    async def work() -> list[Mapping[str, Part]]:
        found: list[Mapping[str, Part]] = []
        try:
            for pause in pauses:
                clock.move(seconds=pause)
                parts = await ServiceVitals(own).parts()
                found.append({part.name: part for part in parts})
        finally:
            await own.aclose()
        return found

    return asyncio.run(work())


def up(parts: Mapping[str, Part]) -> dict[str, bool]:
    """Return which parts are well."""
    return {name: part.up for name, part in parts.items()}


def test_every_part_is_well(tokens: Tokens, orders: Instance, tmp_path: Path) -> None:
    """The first look asks the token service, so that a new process becomes ready."""
    (parts,) = looks(made(tokens, orders, tmp_path), tokens.clock, 0)
    assert up(parts) == {"key_set": True, "revocations": True, "store": True}


def test_what_is_not_configured_is_no_part(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """A service that takes no DPoP and knows no revocations needs neither."""
    (parts,) = looks(workload(tokens, orders, tmp_path), tokens.clock, 0)
    assert up(parts) == {"key_set": True}


def test_a_key_set_tells_its_age(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """A look renews it, at most every five seconds."""
    found = looks(made(tokens, orders, tmp_path), tokens.clock, 0, 4, 1)
    ages = [parts["key_set"].age for parts in found]
    assert ages == [timedelta(seconds=each) for each in (0, 4, 0)]


def test_a_token_service_that_is_away_leaves_what_is_young(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """The key set lasts ten minutes, the list of void tokens five seconds."""
    document = tmp_path / "config.json"
    own = made(tokens, orders, tmp_path)

    def away() -> None:
        nowhere = {"jwks_uri": f"{tokens.url}/x", "revocations_uri": f"{tokens.url}/x"}
        members = json.loads(document.read_text())
        members["token_service"] |= nowhere
        write(tmp_path, members)

    tokens.before.append(away)  # when it is asked for the first time
    first, second, third = looks(own, tokens.clock, 0, 5, 600)
    assert up(first) == {"key_set": True, "revocations": True, "store": True}
    assert up(second) == {"key_set": True, "revocations": False, "store": True}
    assert up(third) == {"key_set": False, "revocations": False, "store": True}


def test_a_store_that_is_away_is_not_well(
    tokens: Tokens, orders: Instance, tmp_path: Path
) -> None:
    """No proof could be taken for the first time."""
    own = made(tokens, orders, tmp_path)
    (tmp_path / "state" / "shared.sqlite").mkdir()
    (parts,) = looks(own, tokens.clock, 0)
    assert up(parts) == {"key_set": True, "revocations": True, "store": False}
