"""Rows about a roll-out that changes nothing: what a host costs, by its identities.

One host has all identities; their processes are not started (`rollout`). Figures are
of the second run and those after it.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from bench import rollout
from bench.rounds import Goal, Row, Sample

_FEW, _MANY = 5, 50
_MODULES = 2  # for all identities of a host together
_OF_IDENTITIES = "certbound.kit.identity_"


def rows() -> Iterator[Row]:
    """Yield the rows."""
    with tempfile.TemporaryDirectory(prefix="certbound-bench-") as name:
        hosts = {size: _host(Path(name) / str(size), size) for size in (_MANY, _FEW)}
        yield Row(
            name="roll-out that changes nothing, CPU of a host",
            unit="seconds of CPU",
            ways={f"{size} identities": _cpu(run) for size, run in hosts.items()},
            goals=[
                Goal(against=f"{_FEW} identities", ratio=_MANY / _FEW, sense="at most")
            ],
        )
        limit = Sample(figure=_MODULES)
        yield Row(
            name=f"roll-out that changes nothing, modules for {_MANY} identities",
            unit="runs on the host",
            ways={"modules": _modules(hosts[_MANY]), "the limit": lambda: limit},
            goals=[Goal(against="the limit", ratio=1.0, sense="at most")],
        )


def _host(directory: Path, identities: int) -> Callable[[], rollout.Run]:
    @cache
    def enrolled() -> Path:
        directory.mkdir()
        rollout.prepare(directory, identities)
        rollout.enrol(directory)
        return directory

    return lambda: rollout.enrol(enrolled())


def _cpu(run: Callable[[], rollout.Run]) -> Callable[[], Sample]:
    return lambda: Sample(figure=run().cpu)


def _modules(run: Callable[[], rollout.Run]) -> Callable[[], Sample]:
    @cache  # it is the same each time
    def counted() -> Sample:
        ran = [name for name in run().modules if name.startswith(_OF_IDENTITIES)]
        return Sample(figure=len(ran))

    return counted
