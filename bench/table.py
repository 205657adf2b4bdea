"""The table of results: a line for each way of a row, ours first."""

from collections.abc import Sequence
from statistics import median

from rich.table import Table

from bench.rounds import Ratio, Result, Sample

_BUSY = 0.9  # of the load's core: beyond, the row tells of the load


def table(results: Sequence[Result]) -> Table:
    """Return what is printed."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("work, unit")
    made.add_column("way")
    for name in ("figure", "ours / theirs", "spread", "goal"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column("")
    for result in results:
        ratios = {ratio.against: ratio for ratio in result.ratios}
        label = result.name
        for name, figure in result.figures.items():
            cells = _cells(ratios.get(name))
            made.add_row(
                label, name, _number(figure), *cells, _busy(result.samples[name])
            )
            label = f"  {result.unit}" if label == result.name else ""
        for name, why in result.absent.items():
            made.add_row(
                label, name, "", "", "", "", f"left out: {why.splitlines()[0]}"
            )
            label = f"  {result.unit}" if label == result.name else ""
        made.add_row()
    return made


def _cells(ratio: Ratio | None) -> tuple[str, str, str]:
    if ratio is None:
        return "", "", ""
    spread = f"{_number(ratio.least)} to {_number(ratio.most)}"
    if ratio.goal is None:
        return _number(ratio.median), spread, ""
    sign = "≥" if ratio.goal.sense == "at least" else "≤"
    verdict = "" if ratio.met else " missed"
    return _number(ratio.median), spread, f"{sign} {ratio.goal.ratio:g}{verdict}"


def _busy(samples: Sequence[Sample]) -> str:
    """Say so if the load's core was the limit."""
    found = [sample.load for sample in samples if sample.load is not None]
    return "load's core is full" if found and median(found) > _BUSY else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - digits
