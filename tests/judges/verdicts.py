"""What the judges said: noted by each test, counted at the end of the run.

    judge = Judge("curl", "7.88.1")
    ...
    verdict(judge, accepted="certificate-bound token")

A note becomes a property of the test's report, so that it reaches the summary from
whatever process the test ran in.
"""

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pytest

_PROPERTY = "verdict of a judge"
_COLUMNS = ("judge", "version", "accepted", "refused", "seconds")


class Judge(NamedTuple):
    """Independent software, by name and version."""

    name: str
    version: str


class Verdict:
    """Takes the notes of one test."""

    def __init__(self, test: pytest.Item) -> None:
        self._test = test

    def __call__(self, judge: Judge, *, accepted: str = "", refused: str = "") -> None:
        """Note what `judge` has accepted or refused, as it should, in a few words."""
        note = json.dumps([*judge, accepted, refused])
        self._test.user_properties.append((_PROPERTY, note))


@dataclass
class _Row:
    accepted: dict[str, None] = field(default_factory=dict)  # in order, each once
    refused: dict[str, None] = field(default_factory=dict)
    seconds: float = 0.0


def table(reports: Iterable[pytest.TestReport]) -> list[str]:
    """Return the lines of the summary, one a judge, or nothing if none was asked."""
    rows: dict[Judge, _Row] = {}
    for report in sorted(reports, key=lambda report: report.location[:2]):
        notes = [note for name, note in report.user_properties if name == _PROPERTY]
        for name, version, accepted, refused in map(json.loads, map(str, notes)):
            row = rows.setdefault(Judge(name, version), _Row())
            row.accepted |= {accepted: None} if accepted else {}
            row.refused |= {refused: None} if refused else {}
            row.seconds += report.duration / len(notes)
    cells = [
        (
            *judge,
            ", ".join(row.accepted) or "-",
            ", ".join(row.refused) or "-",
            f"{row.seconds:.1f}",
        )
        for judge, row in sorted(rows.items())
    ]
    return _drawn([_COLUMNS, *cells]) if cells else []


def _drawn(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows in columns; the two long ones are folded."""
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    widths[2:4] = (min(width, _FOLD) for width in widths[2:4])
    lines = []
    for row in rows:
        columns = [
            _folded(cell, width) for cell, width in zip(row, widths, strict=True)
        ]
        for number in range(max(map(len, columns))):
            parts = [
                (column[number] if number < len(column) else "").ljust(width)
                for column, width in zip(columns, widths, strict=True)
            ]
            lines.append("  ".join(parts).rstrip())
    return lines


_FOLD = 44


def _folded(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width) or [""]
