"""How the lines of the picture run: from box to box, around all others.

Pure. A call downwards goes by the slots that its row order has left for it. Any other
line is one curve: of several, bent more and more to either side, the one that crosses
no other box, runs along no earlier line and is bent least.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.report.layout import Box, Layout, Point
from services.report.ranks import Pair

_BENDS = (0, 36, -36, 64, -64, 96, -96, 140, -140, 190, -190, 250, -250, 330, -330)
_STEPS = 24  # points at which a curve is looked at
_CELL = 12.0  # lines closer than this are hard to tell apart
_AROUND = 7.0  # to be kept from other boxes
_GAP = 3.0  # between a line's end and its box
_PORT = 22.0  # between two lines that leave or reach a box, at most
_RIM = 8.0  # of the page, to be kept free
_BELOW = 30.0  # the boxes, lines may run
# What is worse: a box crossed, the page left, two lines in one place, a bend.
_CROSSED, _LEFT, _SHARED, _BENT = 100.0, 40.0, 6.0, 0.05

Curve = tuple[Point, Point, Point]  # cubic: two control points and the end
Places = Mapping[tuple[Pair, str], float]


@dataclass(frozen=True, slots=True)
class Route:
    """A line of curves from `begin`; each begins where the one before it ends."""

    begin: Point
    curves: tuple[Curve, ...]

    @property
    def end(self) -> Point:
        """Where it arrives."""
        return self.curves[-1][2]

    @property
    def angle(self) -> float:
        """The direction in which it arrives, in degrees clockwise from the right."""
        _, control, (x, y) = self.curves[-1]
        return math.degrees(math.atan2(y - control[1], x - control[0]))

    @property
    def middle(self) -> Point:
        """A point on it, half-way along its middle curve."""
        return self.at(len(self.curves) // 2 + 0.5)

    def at(self, share: float) -> Point:
        """Return the point `share` curves from the beginning: 1.5 is in the second."""
        number = min(int(share), len(self.curves) - 1)
        begin = self.curves[number - 1][2] if number else self.begin
        part = share - number
        weights = (
            (1 - part) ** 3,
            3 * (1 - part) ** 2 * part,
            3 * (1 - part) * part**2,
            part**3,
        )
        points = begin, *self.curves[number]
        return (
            sum(weight * x for weight, (x, _) in zip(weights, points, strict=True)),
            sum(weight * y for weight, (_, y) in zip(weights, points, strict=True)),
        )

    def points(self) -> list[Point]:
        """Return points along the whole of it."""
        count = len(self.curves) * _STEPS
        return [self.at(step / _STEPS) for step in range(count + 1)]


def route(layout: Layout, pairs: Iterable[Pair]) -> list[Route]:
    """Return a line for each pair; earlier ones choose first."""
    wanted = list(pairs)
    ports = _ports(layout, [pair for pair in wanted if pair in layout.passing])
    taken: set[tuple[int, int]] = set()
    routes = []
    for pair in wanted:
        if pair in layout.passing:
            best = _downwards(layout, pair, ports)
        else:
            best = _around(layout, pair, taken)
        taken |= set(_cells(best))
        routes.append(best)
    return routes


def _ports(layout: Layout, pairs: Sequence[Pair]) -> Places:
    """Return how far right each call leaves its caller and reaches its callee."""
    leaving: dict[str, list[tuple[float, Pair]]] = defaultdict(list)
    reaching: dict[str, list[tuple[float, Pair]]] = defaultdict(list)
    for pair in pairs:
        caller, callee = (layout.boxes[name] for name in pair)
        passing = layout.passing[pair]
        leaving[pair[0]].append((passing[0][0] if passing else callee.x, pair))
        reaching[pair[1]].append((passing[-1][0] if passing else caller.x, pair))
    ports = {}
    for side in (leaving, reaching):
        for name, ends in side.items():
            box = layout.boxes[name]
            step = min(_PORT, (box.width - 28) / max(len(ends) - 1, 1))
            for number, (_, pair) in enumerate(sorted(ends)):
                ports[pair, name] = box.x + (number - (len(ends) - 1) / 2) * step
    return ports


def _downwards(layout: Layout, pair: Pair, ports: Places) -> Route:
    caller, callee = (layout.boxes[name] for name in pair)
    begin = ports[pair, pair[0]], caller.y + caller.height / 2 + _GAP
    here, curves = begin, []
    for x, y in layout.passing[pair]:
        top, bottom = (x, y - caller.height / 2), (x, y + caller.height / 2)
        curves += [_falling(here, top), _falling(top, bottom)]
        here = bottom
    end = ports[pair, pair[1]], callee.y - callee.height / 2 - _GAP
    return Route(begin, (*curves, _falling(here, end)))


def _falling(begin: Point, end: Point) -> Curve:
    """Return a curve that begins and ends straight down."""
    half = (end[1] - begin[1]) / 2
    return (begin[0], begin[1] + half), (end[0], end[1] - half), end


def _around(layout: Layout, pair: Pair, taken: set[tuple[int, int]]) -> Route:
    others = [box for name, box in layout.boxes.items() if name not in pair]
    caller, callee = (layout.boxes[name] for name in pair)

    def cost(bend: float) -> float:
        line = _bent(caller, callee, bend)
        points = line.points()
        return (
            _BENT * abs(bend)
            + _CROSSED * sum(box.holds(*at, _AROUND) for at in points for box in others)
            + _LEFT * sum(not _RIM < x < layout.width - _RIM for x, _ in points)
            + _LEFT * sum(not 0 < y < layout.height + _BELOW for _, y in points)
            + _SHARED * sum(cell in taken for cell in _cells(line))
        )

    return _bent(caller, callee, min(_BENDS, key=cost))


def _bent(caller: Box, callee: Box, bend: float) -> Route:
    across, down = callee.x - caller.x, callee.y - caller.y
    if bend and abs(across) < caller.width / 2:
        return _beside(caller, callee, bend)
    length = math.hypot(across, down) or 1.0
    # A curve comes three quarters of the way to its two control points.
    aside = bend * 4 / 3
    control = (
        (caller.x + callee.x) / 2 + aside * down / length,
        (caller.y + callee.y) / 2 - aside * across / length,
    )
    end = _edge(callee, control)
    return Route(_edge(caller, control), ((control, control, end),))


def _beside(caller: Box, callee: Box, bend: float) -> Route:
    """Return a curve from side to side, of two boxes that stand in one column."""
    falls = callee.y > caller.y
    side = 1 if (bend > 0) == falls else -1
    # The wider a curve, the farther from the facing corners it ends: curves nest.
    off = max(0.0, 0.3 * caller.height - 0.09 * abs(bend)) * (1 if falls else -1)
    begin = caller.x + side * (caller.width / 2 + _GAP), caller.y + off
    end = callee.x + side * (callee.width / 2 + _GAP), callee.y - off
    far = side * abs(bend) * 4 / 3
    return Route(begin, (((begin[0] + far, begin[1]), (end[0] + far, end[1]), end),))


def _edge(box: Box, towards: Point) -> Point:
    """Return where a line from the centre of `box` to `towards` leaves it."""
    across, down = towards[0] - box.x, towards[1] - box.y
    share = min(
        (box.width / 2 + _GAP) / abs(across) if across else math.inf,
        (box.height / 2 + _GAP) / abs(down) if down else math.inf,
    )
    return box.x + across * share, box.y + down * share


def _cells(line: Route) -> list[tuple[int, int]]:
    """Return the cells that a line goes through, less those at its ends."""
    return [(int(x // _CELL), int(y // _CELL)) for x, y in line.points()[3:-3]]
