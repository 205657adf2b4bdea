"""Rows about a roll-out that changes nothing: what a host costs.

By its identities: one host has all of them, and their processes are not started
(`rollout`). By modules: the sample topology, whose processes run. Figures are of the
second run and those after it.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from bench import rollout
from bench.rounds import AbsentError, Goal, Row, Sample
from tests.playbooks.rolling import Rolling, Run

_FEW, _MANY = 5, 50
_MODULES = 2  # on a host, whatever it has
_OF_THE_CA = {"certbound.kit.authority", "ansible.builtin.copy"}  # once in a run
_PLAYS = (
    "--tags",
    "release,ca,enrol,services",
)  # what changes hosts; no probe, no drill


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
            name="roll-out that changes nothing, modules on a host",
            unit="runs on the host",
            ways={"modules": _modules(Path(name)), "the limit": lambda: limit},
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


def _modules(directory: Path) -> Callable[[], Sample]:
    @cache  # it is the same each time
    def counted() -> Sample:
        base = directory / "rolled"
        base.mkdir()
        rolling = Rolling(base)
        try:
            _played(rolling, "site", *_PLAYS)
            modules = _played(rolling, "site", *_PLAYS).recap["modules"]
        finally:
            rolling.play("down")
        ran = [line for line in modules if line.split()[1] not in _OF_THE_CA]
        return Sample(figure=len(ran))

    return counted


def _played(rolling: Rolling, *arguments: str) -> Run:
    run = rolling.play(*arguments)
    if run.returncode:
        raise AbsentError(f"the play failed: {run.said[-3000:]}")
    return run
