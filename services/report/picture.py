"""The topology as a picture: services, who may call whom, and what came of each try.

Values for the template, which draws them. Solid lines with a head were answered, broken
ones with a bar were refused, and what differs from the topology is thick and marked, so
that nothing is said by colour alone. Among many services the refused pairs would hide
everything else: then only the grid shows them, one field for each pair.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.probe import Edge, Identity
from services.report.layout import Layout, Point, fits, place
from services.report.observations import TOKEN_SERVICE, Observations
from services.report.ranks import Pair
from services.report.routes import Route, route
from services.report.words import count

TOKENS = 46.0  # height of the token service's box, on the frame
_ABOVE = 136.0  # the token service, and what it is for
_ASIDE = 28.0
_AROUND = 84.0  # room for lines that go around
_BELOW = 46.0  # the name of the trust domain
_NARROWEST = 348.0  # for the same two
_ALL = 12  # refused pairs up to which the picture shows them
_SCOPES = 8  # allowed pairs up to which it names their scopes


class Tried(StrEnum):
    """What came of a pair, as the name of a class in the template."""

    ANSWERED = "answered"
    REFUSED = "refused"
    UNTRIED = "untried"
    WRONGLY_ANSWERED = "wrongly-answered"
    WRONGLY_REFUSED = "wrongly-refused"

    @property
    def differs(self) -> bool:
        """Whether the topology says otherwise."""
        return self in {Tried.WRONGLY_ANSWERED, Tried.WRONGLY_REFUSED}

    @property
    def ends_in_bar(self) -> bool:
        """Whether the callee did not let it in."""
        return self in {Tried.REFUSED, Tried.WRONGLY_REFUSED}

    @property
    def text(self) -> str:
        """What it is called on the page."""
        return _TEXTS[self]


_TEXTS = {
    Tried.ANSWERED: "may call, and was answered",
    Tried.REFUSED: "may not call, and was refused",
    Tried.UNTRIED: "may call, and was not tried",
    Tried.WRONGLY_ANSWERED: "may not call, but was answered",
    Tried.WRONGLY_REFUSED: "may call, but was refused",
}


@dataclass(frozen=True, slots=True)
class Node:
    """A service's box; `name` is cut to fit, `title` is whole."""

    title: str
    name: str
    where: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Line:
    """A pair of services, and the curve from one to the other."""

    caller: str
    callee: str
    tried: Tried
    scopes: str
    route: Route

    @property
    def label(self) -> Point:
        """Where the scopes stand."""
        return self.route.at(len(self.route.curves) - 0.55)


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything to draw, and the size of the drawing."""

    width: float
    height: float
    nodes: list[Node]
    lines: list[Line]
    token_service: str
    names: list[str]
    tries: Mapping[Pair, Tried]
    whole: bool  # whether every pair that was tried is drawn


def draw(observed: Observations) -> Picture:
    """Return the picture of what was rolled out and tried."""
    tries = _tries(observed)
    names = observed.services
    allowed = [pair for pair, tried in tries.items() if tried in _ALLOWED]
    refused = sum(tried is Tried.REFUSED for tried in tries.values())
    whole = refused <= _ALL
    drawn = [pair for pair in tries if whole or tries[pair] is not Tried.REFUSED]
    drawn.sort(key=lambda pair: tries[pair] is Tried.REFUSED)  # they choose last
    around = any(tries[pair] not in _ALLOWED for pair in drawn)
    layout = place(
        names,
        allowed,
        above=_ABOVE,
        aside=_AROUND if around else _ASIDE,
        narrowest=_NARROWEST,
    )
    return Picture(
        width=layout.width,
        height=layout.height + _BELOW,
        nodes=_nodes(observed, layout),
        lines=_lines(observed, layout, drawn, tries),
        token_service=_where(observed, TOKEN_SERVICE),
        names=names,
        tries=tries,
        whole=whole,
    )


_ALLOWED = {Tried.ANSWERED, Tried.UNTRIED, Tried.WRONGLY_REFUSED}


def _tries(observed: Observations) -> dict[Pair, Tried]:
    """Return what came of each pair; where several hosts tried, the worst of it."""
    tries: dict[Pair, Tried] = {}
    for edge in observed.edges:
        pair, tried = (edge.caller, edge.callee), _tried(edge)
        if pair not in tries or tried.differs:
            tries[pair] = tried
    if observed.deployment is not None:
        for name, party in observed.deployment.workloads.items():
            for callee in party.calls:
                tries.setdefault((name, callee.service), Tried.UNTRIED)
    return tries


def _tried(edge: Edge) -> Tried:
    if edge.ok:
        return Tried.ANSWERED if edge.allowed else Tried.REFUSED
    return Tried.WRONGLY_REFUSED if edge.allowed else Tried.WRONGLY_ANSWERED


def _nodes(observed: Observations, layout: Layout) -> list[Node]:
    return [
        Node(
            title=name,
            name=name if len(name) == fits(name) else f"{name[: fits(name) - 1]}…",
            where=_where(observed, name),
            x=box.x,
            y=box.y,
            width=box.width,
            height=box.height,
        )
        for name, box in layout.boxes.items()
    ]


def _lines(
    observed: Observations,
    layout: Layout,
    pairs: list[Pair],
    tries: Mapping[Pair, Tried],
) -> list[Line]:
    named = sum(tries[pair] in _ALLOWED for pair in pairs) <= _SCOPES
    return [
        Line(caller, callee, tries[caller, callee], scopes if named else "", line)
        for (caller, callee), line in zip(pairs, route(layout, pairs), strict=True)
        for scopes in [_scopes(observed, caller, callee)]
    ]


def _scopes(observed: Observations, caller: str, callee: str) -> str:
    if observed.deployment is None or caller not in observed.deployment.workloads:
        return ""
    return " ".join(observed.deployment.workloads[caller].scopes_at(callee))


def _where(observed: Observations, name: str) -> str:
    """Return where a service listens: its port, and its host or their number."""
    seen: dict[str, list[Identity]] = defaultdict(list)
    for one in observed.identities:
        seen[one.service].append(one)
    ports = sorted({str(one.port) for one in seen[name]})
    hosts = sorted({one.host for one in seen[name]})
    if not hosts:
        return "not seen"
    where = hosts[0] if len(hosts) == 1 else count(len(hosts), "host")
    return f"{where}:{ports[0]}" if len(ports) == 1 else where
