"""A process that claims one key many times at once: claimant.py WHERE SCOPE COUNT.

It says `ready`, waits for a line, claims, and prints how many of its claims won.
"""

import asyncio
import sys

from services.state.open import open_store
from services.state.store import AlreadyClaimedError, Store
from tests.services.state.backends import NOON, after


async def _claim(store: Store) -> bool:
    try:
        await store.claim("dpop", "the one key", after(60))
    except AlreadyClaimedError:
        return False
    return True


async def _main(where: str, scope: str, count: int) -> None:
    store = open_store(where, scope=scope, clock=lambda: NOON)
    await store.ping()
    print("ready", flush=True)  # noqa: T201 - the test reads it
    sys.stdin.readline()
    won = await asyncio.gather(*(_claim(store) for _ in range(count)))
    await store.aclose()
    print(sum(won), flush=True)  # noqa: T201 - the test reads it


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
