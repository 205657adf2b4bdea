"""Measure what the program exists for, against peers and limits, in one run.

python -m bench                              every row, 5 rounds of 1.5 seconds
python -m bench --rounds 9 --only "DPoP"     those whose name has this in it
"""

import platform
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
from rich.console import Console

from bench import (
    rows_certificates,
    rows_latency,
    rows_processes,
    rows_pythons,
    rows_renewals,
    rows_requests,
    rows_rollout,
)
from bench.contestants import LOAD, SERVER
from bench.rounds import Result, Row, measure
from bench.stand import standing
from bench.table import table


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All results, and where they were measured."""

    python: str
    openssl: str
    machine: str
    results: list[Result]


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Beside one to warm up.")
@click.option("--seconds", default=1.5, show_default=True, help="Of asking, a round.")
@click.option("--only", default="", help="Rows with this in their name.")
@click.option("--certificates", default=1_000_000, help="In the largest ledger.")
@click.option("--tokens", default=1_000_000, help="Before memory is looked at.")
@click.option("--beside", multiple=True, help="Another Python with the same packages.")
@click.option("--json", "to", type=click.Path(path_type=Path), help="Write them here.")
def main(  # noqa: PLR0913 - each is told apart by its name
    *,
    rounds: int,
    seconds: float,
    only: str,
    certificates: int,
    tokens: int,
    beside: tuple[str, ...],
    to: Path | None,
) -> None:
    """Measure, print one table, and write it as JSON."""
    if SERVER == LOAD:
        raise click.ClickException("two cores are needed: one to ask, one to answer")
    console = Console(stderr=True)
    results, missing = [], []
    for row in _rows(seconds, certificates, tokens, beside):
        if only.lower() in row.name.lower():
            console.print(f"measuring: {row.name}")
            results.append(measure(row, rounds=rounds))
            if to:  # each time: what was measured outlives what is cut off
                _write(results, to)
            if next(iter(row.ways)) in results[-1].absent:
                missing.append(row.name)
    Console(width=None if sys.stdout.isatty() else 120).print(table(results))
    if missing:
        raise click.ClickException(f"ours was not measured: {', '.join(missing)}")


def _write(results: list[Result], to: Path) -> None:
    report = Report(
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        machine=platform.platform(),
        results=results,
    )
    to.parent.mkdir(exist_ok=True)
    to.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))


def _rows(
    seconds: float, certificates: int, tokens: int, beside: tuple[str, ...]
) -> Iterator[Row]:
    with standing() as stand:
        yield from rows_requests.rows(stand, seconds)
    with standing() as stand:
        yield from rows_pythons.rows(stand, seconds, beside)
    with standing() as stand:
        yield from rows_latency.rows(stand, seconds)
    with standing() as stand:
        yield from rows_renewals.rows(stand, seconds)
    with standing() as stand:
        yield from rows_processes.rows(stand, tokens)
    yield from rows_certificates.rows(certificates)
    yield from rows_rollout.rows()


if __name__ == "__main__":
    main()
