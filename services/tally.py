"""What guards decide and how long it takes them, counted at one lock for each request.

`services.metrics` shows it. A counter and a histogram of prometheus_client's lock each
part by itself, and together would cost as much as the decision that they count.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from threading import Lock
from time import perf_counter

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

moment = perf_counter  # what `began` is measured with, in seconds


class Decisions(Collector):
    """A counter by outcome and reason, and a histogram of all."""

    def __init__(self, name: str, limits: Sequence[float], good: str) -> None:
        """Count as `name`; `limits` are seconds, `good` is the outcome of most."""
        self._name = name
        self._limits = tuple(limits)
        self._good = good, ""
        self._counts: Counter[tuple[str, str]] = Counter()
        self._times = [0] * (len(limits) + 1)
        self._seconds = 0.0
        self._lock = Lock()

    def count(self, outcome: str, reason: str = "") -> None:
        """Count a decision."""
        with self._lock:
            self._counts[outcome, reason] += 1

    def time(self, began: float) -> None:
        """Count how long one took that began at this `moment`."""
        seconds = perf_counter() - began
        with self._lock:
            self._times[bisect_left(self._limits, seconds)] += 1
            self._seconds += seconds

    def let_in(self, began: float) -> None:
        """Count a good one, and how long it took: `count` and `time` in one."""
        seconds = perf_counter() - began
        with self._lock:
            self._counts[self._good] += 1
            self._times[bisect_left(self._limits, seconds)] += 1
            self._seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield all as it is now."""
        with self._lock:
            counts = {self._good: 0, **self._counts}
            times, total = list(accumulate(self._times)), self._seconds
        decisions = CounterMetricFamily(
            f"{self._name}_decisions",
            "Requests let in or refused by a guard or a gateway, by the refusal's "
            "class.",
            labels=["outcome", "reason"],
        )
        for labels, count in counts.items():
            decisions.add_metric(labels, count)
        yield decisions
        limits = (*map(str, self._limits), "+Inf")
        yield HistogramMetricFamily(
            f"{self._name}_seconds",
            "Time that the guard took to decide.",
            buckets=list(zip(limits, times, strict=True)),
            sum_value=total,
        )
