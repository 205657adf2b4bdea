"""Rows about a roll-out that changes nothing: what a host costs.

By its identities: one host has all of them, and their processes are not started
(`rollout`). By modules: a host whose processes run. Figures are of the second run and
those after it.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from bench import rollout
from bench.rounds import Goal, Row, Sample

_FEW, _MANY = 5, 50
_MODULES = 2  # on a host, whatever it has
_OF_THE_CA = {"certbound.kit.authority", "ansible.builtin.copy"}  # once in a run
# What changes hosts: neither probe nor drill.
_SITE = ("playbooks/site.yml", "--tags", "release,ca,enrol,services")


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
        running = directory / "running"
        running.mkdir()
        rollout.prepare(running, _FEW)
        try:
            rollout.play(running, *_SITE)
            second = rollout.play(running, *_SITE)
        finally:
            rollout.play(running, "playbooks/down.yml")
        return Sample(figure=len([n for n in second.modules if n not in _OF_THE_CA]))

    return counted
