"""Show what the probe and the drill found: three tables for a terminal."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from services.drill.result import ACCEPTED, NOT_TRIED, Cell, Result
from services.probe import Edge, Identity
from services.report.observations import Observations, cells_of, kinds_in
from services.report.words import short_kind

WIDTH = 136  # columns: serials and SPIFFE IDs are to stay on one line
DRILL_WIDTH = 118  # columns: sentences may wrap


def render(observed: Observations) -> str:
    """Return the tables as text, at most `WIDTH` columns wide."""
    screen = Console(file=StringIO(), width=WIDTH, color_system=None, highlight=False)
    if observed.probe is not None:
        screen.print(_identities(observed.probe.identities))
        screen.print(_edges(observed.probe.edges))
    if observed.drill is not None:
        screen.print(_drill(observed.drill))
    text = screen.file.getvalue() if isinstance(screen.file, StringIO) else ""
    return "\n".join(line.rstrip() for line in text.splitlines())


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="", box=box.SIMPLE_HEAD
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _name(service: str, host: str, many: set[str]) -> str:
    """Return `orders`, or `orders@host-1` where it runs on several hosts."""
    return f"{service}@{host}" if service in many else service


def _on_several_hosts(places: Iterable[tuple[str, str]]) -> set[str]:
    """Return the services that are seen on more than one host."""
    seen = Counter(service for service, _ in set(places))
    return {service for service, hosts in seen.items() if hosts > 1}


def _identities(identities: list[Identity]) -> Table:
    table = _table("Identities", "service", "SPIFFE ID", "serial", "expires")
    many = _on_several_hosts((one.service, one.host) for one in identities)
    for identity in identities:
        expiry = datetime.fromisoformat(identity.not_after).astimezone(UTC)
        table.add_row(
            _name(identity.service, identity.host, many),
            identity.spiffe_id,
            identity.serial,
            f"{expiry:%Y-%m-%d %H:%M}Z",
        )
    return table


def _edges(edges: list[Edge]) -> Table:
    table = _table(
        "Calls, each one tried",
        *("caller", "callee", "may call", "answer", "key exchange", "reason", ""),
    )
    many = _on_several_hosts(
        end
        for edge in edges
        for end in ((edge.caller, edge.caller_host), (edge.callee, edge.callee_host))
    )
    for edge in edges:
        table.add_row(
            _name(edge.caller, edge.caller_host, many),
            _name(edge.callee, edge.callee_host, many),
            "yes" if edge.allowed else "no",
            "TLS" if edge.status is None else str(edge.status),
            edge.group,
            edge.reason,
            _verdict(edge.ok),
        )
    return table


def _drill(drill: Result) -> Table:
    """Return one line a theft: what came of each kind of token, and why."""
    kinds = kinds_in(drill)
    table = _table(
        f"Drill: {drill.victim}'s tokens for {drill.target} are stolen, and used ...",
        "a token used ...",
        *map(short_kind, kinds),
        "refused because",
        "",
    )
    if drill.onward:
        table.caption = (
            f"exchanged: tokens of {drill.target} for {drill.onward}, in the name of "
            f"{drill.victim}, which is their thief"
        )
    table.caption_justify, table.caption_style = "left", ""
    table.width, table.collapse_padding = DRILL_WIDTH, True
    for column in table.columns[1:-2]:
        column.no_wrap = True
    for row in drill.rows:
        cells = dict(cells_of(row))
        said = [_cell(cells[kind]) if kind in cells else "\u2014" for kind in kinds]
        table.add_row(row.tried, *said, _reasons(cells), _verdict(row.ok))
    return table


def _cell(cell: Cell) -> str:
    said = cell.happened if cell.happened in {ACCEPTED, NOT_TRIED} else "refused"
    return said if cell.ok else f"{said} (!)"


def _reasons(cells: Mapping[str, Cell]) -> str:
    """Return why: what holds for most kinds first, then the others by their names."""
    kinds = defaultdict(list)
    for kind, cell in cells.items():
        if not cell.ok:
            kinds[f"{cell.happened}; expected: {cell.expected}"].append(
                short_kind(kind)
            )
        elif cell.happened != ACCEPTED:
            kinds[cell.happened].append(short_kind(kind))
    if not kinds or not all(cell.ok for cell in cells.values()):
        return "; ".join(f"{', '.join(who)}: {why}" for why, who in kinds.items())
    most = max(kinds, key=lambda why: len(kinds[why]))
    others = [f"{', '.join(who)}: {why}" for why, who in kinds.items() if why != most]
    return "; ".join([most, *others])


def _verdict(ok: bool) -> str:  # noqa: FBT001 - one flag, one word
    return "ok" if ok else "DIFFERS"
