"""Show what the probe and the drill found: three tables for a terminal."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from io import StringIO

from rich import box
from rich.console import Console
from rich.table import Table

from services.drill.drill import Cell, Result
from services.probe import Edge, Identity
from services.report.observations import Observations, cells_of
from services.report.words import token_kind

WIDTH = 136  # columns: serials and SPIFFE IDs are to stay on one line


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
    kinds = [name for row in drill.rows[:1] for name, _ in cells_of(row)]
    table = _table(
        f"Drill: {drill.victim}'s tokens for {drill.target} are stolen, and used ...",
        "a token used ...",
        *map(token_kind, kinds),
        "",
    )
    for row in drill.rows:
        cells = dict(cells_of(row))
        said = [_cell(cells[kind]) if kind in cells else "" for kind in kinds]
        table.add_row(row.tried, *said, _verdict(row.ok))
    return table


def _cell(cell: Cell) -> str:
    said = cell.happened if cell.happened == "accepted" else f"refused: {cell.happened}"
    return said if cell.ok else f"{said}; expected: {cell.expected}"


def _verdict(ok: bool) -> str:  # noqa: FBT001 - one flag, one word
    return "ok" if ok else "DIFFERS"
