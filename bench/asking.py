"""One round of asking a server: the load runs on its own core, the server on the other.

The figure is answers per second of the server's CPU. On a core of its own, with more
asked than it can answer, that is what one core answers in a second; where another
process gets in between, the clock counts it and this does not.
"""

import subprocess
import sys
from collections.abc import Callable

import msgspec
from msgspec import Struct

from bench.contestants import ENVIRONMENT, LOAD, PROJECT, Contestant
from bench.load import Outcome
from bench.rounds import AbsentError, Sample

_FEW = 10  # a proof without the server's nonce on each connection is to be expected


class FailedError(AbsentError):
    """More than a few requests were not answered with 200."""


def outcome(
    job: Struct, driver: str = "bench.load", python: str = sys.executable
) -> Outcome:
    """Do a job on the load's core."""
    done = subprocess.run(
        ["taskset", "-c", str(LOAD), python, "-m", driver],
        cwd=PROJECT,
        env=ENVIRONMENT,
        input=msgspec.json.encode(job),
        stdout=subprocess.PIPE,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=Outcome)


def asking(
    server: Contestant,
    job: Struct,
    *behind: Contestant,
    driver: str = "bench.load",
    python: str = sys.executable,
) -> Callable[[], Sample]:
    """Return what asks `server` for one round, counting those `behind` it as well.

    The sample raises FailedError if more than one answer in a hundred is no good one.
    """

    def ask() -> Sample:
        servers = (server, *behind)
        before = sum(one.cpu() for one in servers)
        found = outcome(job, driver, python)
        cpu = sum(one.cpu() for one in servers) - before
        failed = sum(found.others.values())
        if failed > max(_FEW, found.answered / 100):
            raise FailedError(f"{server.name}: {found.answered} good, {found.others}")
        # The load's first moments, which it does not count, cost the server as well.
        share = found.seconds / (found.seconds + found.uncounted)
        return Sample(
            figure=found.answered / (cpu * share),
            wall=found.answered / found.seconds,
            server=cpu * share / found.seconds,
            load=found.cpu / found.seconds,
            failed=failed,
        )

    return ask
