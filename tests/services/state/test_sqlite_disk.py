"""Tests of `services.state.sqlite` on a disk that takes nothing: read-only, and full.

Each runs in a process of its own, whose rights and limits can be taken away.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]

FAULTS = """
import asyncio, os, resource, sys
from datetime import timedelta
from pathlib import Path
from services.state.sqlite import SqliteStore
from services.state.store import AlreadyClaimedError, StateUnavailableError
from tests.services.state.backends import Clock, after

path = Path(sys.argv[1])

def open_it():
    return SqliteStore(path, scope="s", clock=Clock(), patience=timedelta(0))

async def refused(operation):
    try:
        await operation
    except StateUnavailableError as error:
        return str(error)
    raise SystemExit("was not refused")

async def was_claimed(store, key):
    try:
        await store.claim("dpop", key, after(60))
    except AlreadyClaimedError:
        return True
    return False
"""
READ_ONLY = (
    FAULTS
    + """
async def main():
    store = open_it()
    await store.claim("dpop", "before", after(60))
    await store.revoke("before", after(60))
    await store.aclose()
    path.chmod(0o400)
    for operation in (
        store.ping(),
        store.claim("dpop", "jti", after(60)),
        store.revoke("id", after(60)),
    ):
        assert "readonly" in await refused(operation)
    for file in path.parent.iterdir():  # SQLite gave its companions the same mode
        file.chmod(0o600)
    assert not await store.is_revoked("id")
    assert await store.is_revoked("before")
    assert await was_claimed(store, "before")
    assert not await was_claimed(store, "jti")
    await store.aclose()

asyncio.run(main())
"""
)
FULL = (
    FAULTS
    + """
async def main():
    store = open_it()
    await store.claim("dpop", "0", after(60))
    size = path.with_name(path.name + "-wal").stat().st_size
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 1_000_000, hard))
    number, taken = 0, [0]
    record = os.urandom(5000)
    while True:
        number += 1
        try:
            await store.put_token(str(number), record, after(60))
            await store.claim("dpop", str(number), after(60))
        except StateUnavailableError:
            break
        taken.append(number)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    for operation in (store.ping(), store.revoke("id", after(60))):
        await refused(operation)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert len(taken) > 5
    for known in taken[1:]:
        assert await store.get_token(str(known)) == record
        assert await was_claimed(store, str(known))
    assert await store.get_token(str(number)) in (None, record)
    assert not await store.is_revoked("id")
    assert (await store.revocations()).entries == ()
    assert not await was_claimed(store, str(number))
    await store.revoke("id", after(60))
    assert await store.is_revoked("id")
    assert store._connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    await store.aclose()

asyncio.run(main())
"""
)


@pytest.mark.parametrize("script", [READ_ONLY, FULL], ids=["read-only", "full"])
def test_a_disk_that_takes_nothing(script: str, tmp_path: Path) -> None:
    """What cannot be written is refused, never half there, and works once it can."""
    command = [sys.executable, "-c", script, str(tmp_path / "state.sqlite")]
    if os.geteuid() == 0:  # root may write to read-only files unless it gives that up
        if not shutil.which("setpriv"):
            pytest.skip("root needs setpriv to be refused a read-only file")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *command]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
