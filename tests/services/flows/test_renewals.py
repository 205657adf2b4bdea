"""Every party renews under load, by itself, and no request fails.

All certificates are older than two thirds of their life when the load begins, and the
CA is away. Then it comes back.
"""

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from services.config import read_config
from services.renewal.task import renewing
from services.watched import Watched
from tests.services.flows.town import PARTIES, SERVED, Town, customer, settle
from tests.services.mesh import Serve, until

FEWEST = 300  # requests of the customer, each of which makes two more


def test_every_party_renews_under_load(
    tmp_path: Path, serve: Serve, stack: ExitStack, capsys: pytest.CaptureFixture[str]
) -> None:
    """First the CA is away, which costs nothing; then all renew, and none fails."""
    town = settle(tmp_path, age=timedelta(hours=20))
    town.open(stack)
    path, load = customer(town, serve, stack)
    live = town.instances["customer"].live()
    before = {name: town.instances[name].generation.serial for name in PARTIES}

    async def drive() -> None:
        loop = asyncio.get_running_loop()
        driving = asyncio.ensure_future(load.run())
        try:
            await loop.run_in_executor(None, until, lambda: load.count > 50, 30)
            assert {name: _serial(town, name) for name in PARTIES} == before
            await loop.run_in_executor(None, town.start, stack, "enrolment", town.ca())
            await loop.run_in_executor(None, until, lambda: _all_renewed(town), 60)
            most = max(load.count + 50, FEWEST)
            await loop.run_in_executor(None, until, lambda: load.count > most, 60)
        finally:
            load.ends = True
            await driving

    def _all_renewed(town: Town) -> bool:
        return all(_serial(town, name) != before[name] for name in PARTIES)

    config = Watched(lambda: read_config(path), lambda: None, name="customer")
    with renewing(config, live):
        asyncio.run(drive())
    assert load.failures == []
    assert load.count > FEWEST
    for name in (*SERVED, "enrolment"):
        until(partial(town.said, name, "renewal.done"))
        assert not town.said(name, "renewal.broken")
        causes = {line["cause"] for line in town.said(name, "renewal.failed")}
        assert causes <= {"AuthorityAwayError"}
        assert name == "enrolment" or causes
    with capsys.disabled():
        print(  # noqa: T201 - the count is what this test shows
            f"\n{load.count} requests through {len(PARTIES)} renewals, "
            f"{len(load.failures)} failed"
        )


def _serial(town: Town, name: str) -> int:
    return town.instances[name].generation.serial
