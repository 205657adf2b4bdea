"""The report as one page that needs nothing beside itself.

No script, no font, no image is fetched: a policy in the page forbids it. Everything
that comes from outside, names and reasons among it, is escaped by the template engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from services.drill.result import ACCEPTED, Cell, Result, Row
from services.probe import Edge
from services.report.expiry import Timeline, timeline
from services.report.observations import (
    Observations,
    cells_of,
    hosts_of,
    kinds_in,
    more_of,
)
from services.report.picture import draw
from services.report.words import count, in_words, moment, short_kind, token_kind

_MANY = 24  # refused calls, above which they are folded away


@dataclass(frozen=True, slots=True)
class Try:
    """A call that was tried; `more` is what a newer probe says of it."""

    edge: Edge
    caller_host: str
    callee_host: str
    more: list[tuple[str, str]]

    @property
    def answer(self) -> str:
        """What came back: an HTTP status, or the end of the TLS connection."""
        return "TLS" if self.edge.status is None else str(self.edge.status)


@dataclass(frozen=True, slots=True)
class Calls:
    """The calls, what matters most first."""

    first: list[Try]
    refused: list[Try]

    @property
    def folded(self) -> bool:
        """Whether the refused ones are shown on demand."""
        return len(self.refused) > _MANY


@dataclass(frozen=True, slots=True)
class Column:
    """A kind of token in the drill: how many thefts, and how many paid."""

    name: str
    title: str
    short: str  # where there is little room
    paid: int
    thefts: int


@dataclass(frozen=True, slots=True)
class Drill:
    """The drill's table: each row with its cells in the order of the columns."""

    result: Result
    columns: list[Column]
    rows: list[tuple[Row, bool, list[Cell | None]]]


def render_page(
    observed: Observations, now: datetime, versions: Mapping[str, str]
) -> str:
    """Return the page, as HTML that is well-formed XML too."""
    renew_before = timedelta(seconds=observed.run.renew_before)
    lives = timeline(observed.identities, now, renew_before)
    drill = None if observed.drill is None else _drill(observed.drill)
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            title=_domain(observed),
            made=moment(now),
            run=observed.run,
            versions=versions,
            differing=_differing(observed, lives),
            missing=observed.missing,
            picture=draw(observed) if observed.services else None,
            calls=_calls(observed),
            timeline=lives,
            soonest=min(lives.lives, key=lambda life: life.until, default=None),
            renew_before=in_words(renew_before) if renew_before else "",
            drill=drill,
        )
    )


@cache
def _templates() -> Environment:
    templates = Environment(
        autoescape=True,
        loader=PackageLoader("services.report"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    templates.filters["count"] = count
    templates.filters["px"] = _pixels
    templates.filters["point"] = lambda point: " ".join(map(_pixels, point))
    return templates


def _pixels(length: float) -> str:
    return f"{length:.1f}".removesuffix(".0")


def _domain(observed: Observations) -> str:
    """Return the trust domain: of the deployment, or of what was seen."""
    if observed.deployment is not None:
        return observed.deployment.trust_domain
    for one in observed.identities:
        return one.spiffe_id.removeprefix("spiffe://").split("/")[0]
    return ""


def _differing(observed: Observations, lives: Timeline) -> list[str]:
    """Return, in words, how many things are not as they should be."""
    rows = [] if observed.drill is None else observed.drill.rows
    counted = [
        (
            len(observed.missing),
            "instance that was not seen",
            "instances that were not seen",
        ),
        (sum(not edge.ok for edge in observed.edges), "call", ""),
        (sum(not row.ok for row in rows), "theft", ""),
        (
            sum(life.over for life in lives.lives),
            "expired identity",
            "expired identities",
        ),
    ]
    return [count(number, one, many) for number, one, many in counted if number]


def _calls(observed: Observations) -> Calls:
    many = observed.on_several_hosts
    tries = []
    for edge in sorted(observed.edges, key=lambda edge: (edge.ok, not edge.allowed)):
        caller, callee = (
            host if service in many else "" for service, host in hosts_of(edge)
        )
        tries.append(Try(edge, caller, callee, list(more_of(edge, *_EDGE))))
    return Calls(
        first=[one for one in tries if one.edge.allowed or not one.edge.ok],
        refused=[one for one in tries if not one.edge.allowed and one.edge.ok],
    )


_EDGE = (
    *("caller", "caller_host", "callee", "callee_host"),
    *("allowed", "status", "reason", "ok"),
)


def _drill(result: Result) -> Drill:
    rows = []
    names = kinds_in(result)
    for row in result.rows:
        cells = dict(cells_of(row))
        # What every kind of token is good for is no theft: its owner's own use.
        theft = any(cell.expected != ACCEPTED for cell in cells.values())
        rows.append((row, theft, [cells.get(name) for name in names]))
    columns = []
    for number, name in enumerate(names):
        tried = [cells[number] for _, theft, cells in rows if theft]
        paid = sum(cell is not None and cell.happened == ACCEPTED for cell in tried)
        thefts = sum(cell is not None for cell in tried)
        columns.append(Column(name, token_kind(name), short_kind(name), paid, thefts))
    return Drill(result, columns, rows)
