"""Rows about latency: what most wait, and what the slowest hundredth waits.

Each round first finds out how much the server answers at most, then asks half as much
at fixed moments. A latency counts from the moment at which its request was due, so a
server that pauses pays for all who came meanwhile. Both figures are of the same run.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec

from bench.asking import outcome
from bench.load import Job, Outcome
from bench.rounds import Goal, Row, Sample
from bench.stand import Stand

_GUARDED = "services.samples.hello:create_app"
_TOKENS = 1000  # in turn
_LONGER = 2  # times as long: a hundredth of few answers is nothing
_MOST = 3.0


def rows(stand: Stand, seconds: float) -> Iterator[Row]:
    """Yield the rows, each with its servers running."""
    tokens = stand.token_service("token-service-latency")
    yield _row("tokens", stand.token_job(tokens, seconds=seconds))
    orders = stand.orders(tokens, app=_GUARDED, name="guarded-latency")
    many = stand.tokens(tokens, _TOKENS)
    yield _row("guarded requests", stand.resource_job(orders, many, seconds=seconds))
    hello = stand.token_job(stand.hello("hello latency"), seconds=seconds)
    yield _row("hello, for what the machine adds", hello)


def _row(work: str, job: Job) -> Row:
    half = _HalfLoad(job)
    return Row(
        name=f"latency at half load, {work}",
        unit="ms",
        ways={"p99": half.p99, "median": half.median},
        goals=[Goal(against="median", ratio=_MOST, sense="at most")],
    )


@dataclass
class _HalfLoad:
    job: Job
    _last: list[Outcome] = field(default_factory=list)

    def p99(self) -> Sample:
        """Find the maximum, ask half of it, and tell what the slowest wait."""
        most = outcome(self.job)
        half = msgspec.structs.replace(
            self.job,
            rate=most.answered / most.seconds / 2,
            seconds=self.job.seconds * _LONGER,
        )
        self._last.append(outcome(half))
        return self._sample(lambda found: found.p99)

    def median(self) -> Sample:
        """Tell the other figure of the last run."""
        return self._sample(lambda found: found.median)

    def _sample(self, figure: Callable[[Outcome], float]) -> Sample:
        found = self._last[-1]
        return Sample(
            figure=figure(found) * 1000,
            wall=found.answered / found.seconds,
            load=found.cpu / found.seconds,
            failed=sum(found.others.values()),
        )
