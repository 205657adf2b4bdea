"""Print the goals of a run as the table of docs/performance.md.

python -m bench.goals certs/bench.json
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.rounds import Ratio, Result


class _Run(msgspec.Struct):
    results: list[Result]


def lines(results: list[Result]) -> Iterator[str]:
    """Yield a line of Markdown for each goal, and for each way that was left out."""
    yield "| work | against | goal | found | least to most |"
    yield "|---|---|---|---|---|"
    for result in results:
        for ratio in result.ratios:
            if ratio.goal is not None:
                yield f"| {result.name} | {ratio.against} | {_told(ratio)} |"
        for name, why in result.absent.items():
            yield f"| {result.name} | {name} | | left out: {why.splitlines()[0]} | |"


def _told(ratio: Ratio) -> str:
    assert ratio.goal is not None
    sign = "≥" if ratio.goal.sense == "at least" else "≤"
    missed = "" if ratio.met else ", missed"
    spread = f"{ratio.least:.2f} to {ratio.most:.2f}"
    return f"{sign} {ratio.goal.ratio:g} | {ratio.median:.2f}{missed} | {spread}"


if __name__ == "__main__":
    run = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=_Run)
    print("\n".join(lines(run.results)))
