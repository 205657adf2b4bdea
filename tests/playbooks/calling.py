"""Call services without a pause, as their callers do, and count what comes of it.

    python calling.py OUT CONFIG...

Each CONFIG is the document of a rolled-out service: whom it may call is called, with
its identity and by its own way out (`Workload.client`), over connections that are kept.
Runs until there is a file OUT.stop, then writes its counts to OUT. It needs nothing but
the product, so that it runs on any host that has a release.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path

from services.guard.workload import Workload

CALLERS = 2  # of each edge, at once
PAUSE = 0.1  # seconds between two calls of one caller: a load, not a siege
OK = 200


async def call(workload: Workload, name: str, stop: Path, counts: Counter[str]) -> None:
    """Call one service until it is time to stop."""
    while not stop.exists():  # noqa: ASYNC240 - a microsecond
        began = time.strftime("%H:%M:%S", time.gmtime())
        try:
            answer = await workload.client(name).get(workload.config.calls[name].url)
            said = f"{answer.status_code} {answer.text[:300]}"
            outcome = "ok" if answer.status_code == OK else said
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a failure
            outcome = f"{type(error).__name__}: {error}"
        if outcome != "ok":
            outcome = f"{began} {workload.config.client_id} -> {name}: {outcome}"
        counts[outcome] += 1
        await asyncio.sleep(PAUSE)


async def load(out: Path, configs: list[Path]) -> None:
    """Call everybody that the services may call; write what came of it."""
    counts: Counter[str] = Counter()
    stop = out.with_name(out.name + ".stop")
    workloads = [Workload.load(path) for path in configs]
    out.with_name(out.name + ".began").touch()
    async with asyncio.TaskGroup() as group:
        for workload in workloads:
            for name in list(workload.config.calls) * CALLERS:
                group.create_task(call(workload, name, stop, counts))
    for workload in workloads:
        await workload.aclose()
    requests, ok = counts.total(), counts.pop("ok", 0)
    told = {"requests": requests, "ok": ok, "failures": dict(counts)}
    out.with_name(out.name + ".part").write_text(json.dumps(told))
    out.with_name(out.name + ".part").rename(out)


if __name__ == "__main__":
    asyncio.run(load(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]))
