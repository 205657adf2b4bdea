"""Tests of `services.token.vitals`: what the token service cannot do without."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from services.state.open import open_store
from services.token.own_keys import OwnKeys
from services.token.rotation import Schedule
from services.token.signing_keys import SigningKeyError
from services.token.vitals import TokenServiceVitals
from tests.services.documents import ISSUER
from tests.services.running import Clock

SCHEDULE = Schedule(timedelta(days=30), timedelta(hours=1))


def look(state: Path, keys: OwnKeys, clock: Clock) -> dict[str, bool]:
    """Return how each part is."""

    async def work() -> dict[str, bool]:
        store = open_store(state / "shared.sqlite", scope=ISSUER, clock=clock)
        try:
            parts = await TokenServiceVitals(keys, store).parts()
        finally:
            await store.aclose()
        return {part.name: part.up for part in parts}

    return asyncio.run(work())


@pytest.fixture
def clock() -> Clock:
    """Return the time as a test wants it."""
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> OwnKeys:
    """Return signing keys in the state directory."""
    return OwnKeys(tmp_path, lambda: SCHEDULE, clock)


def test_keys_and_store_are_well(tmp_path: Path, keys: OwnKeys, clock: Clock) -> None:
    """Nothing is wrong with a new token service."""
    assert look(tmp_path, keys, clock) == {"signing_key": True, "store": True}


def test_a_store_that_is_away_is_not_well(
    tmp_path: Path, keys: OwnKeys, clock: Clock
) -> None:
    """Nothing can be revoked, and no proof be taken."""
    (tmp_path / "shared.sqlite").mkdir()
    assert look(tmp_path, keys, clock) == {"signing_key": True, "store": False}


def test_without_a_key_that_signs_it_is_not_well(
    tmp_path: Path, keys: OwnKeys, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be used is not hidden behind what can."""
    monkeypatch.setattr(OwnKeys, "signing", _refuse)
    assert look(tmp_path, keys, clock) == {"signing_key": False, "store": True}


def _refuse(_keys: OwnKeys) -> None:
    raise SigningKeyError("no key that signs")
