"""Where the services stand in the picture, in CSS pixels.

Pure: names and calls in, boxes out. Each row keeps its order; within that, everything
stands as close to the middle of its neighbours as it can, and nothing overlaps.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.report.ranks import Pair, Ranks, Slot, rank

HEIGHT = 46.0  # of a box
GAP = 78.0  # between two rows: room for lines, their heads and a label
_SPACE = 34.0  # between two boxes of a row
_LINE = 16.0  # between a box and a line that passes
_LINES = 11.0  # between two lines that pass
_LETTER = 8.1  # width of a letter of a name, on average
_NARROWEST, _WIDEST = 118.0, 190.0  # of a box
_FEW = 12  # services, up to which a row holds 4
_ROUNDS = 16

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A service's place, by its centre."""

    x: float
    y: float
    width: float
    height: float = HEIGHT

    def holds(self, x: float, y: float, around: float = 0.0) -> bool:
        """Return whether a point is in it, or less than `around` from it."""
        return (
            abs(x - self.x) < self.width / 2 + around
            and abs(y - self.y) < self.height / 2 + around
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """All boxes, where each downward call passes a row, and the size of the whole."""

    boxes: Mapping[str, Box]
    passing: Mapping[Pair, Sequence[Point]]
    width: float
    height: float


def place(
    names: Sequence[str],
    calls: Iterable[Pair],
    *,
    above: float = 0.0,
    aside: float = 0.0,
    narrowest: float = 0.0,
) -> Layout:
    """Return a place for each of `names`.

    Args:
        names: the services.
        calls: who calls whom.
        above: the height that is left free on top.
        aside: the width that is left free at each side.
        narrowest: the width of the whole is not less.
    """
    ranks = rank(names, calls, 4 if len(names) <= _FEW else 6)
    box = _box_width(names)
    spots = _spots(ranks, box)
    left = min((spots[slot] - box / 2 for slot in spots), default=0.0) - aside
    right = max((spots[slot] + box / 2 for slot in spots), default=0.0) + aside
    width = max(right - left, narrowest)
    shift = (width - (right - left)) / 2 - left

    def point(slot: Slot) -> Point:
        return spots[slot] + shift, above + slot.rank * (HEIGHT + GAP) + HEIGHT / 2

    return Layout(
        boxes={slot.service: Box(*point(slot), box) for slot in spots if slot.service},
        passing={
            pair: [point(slot) for slot in chain[1:-1]]
            for pair, chain in ranks.chains.items()
        },
        width=width,
        height=above + len(ranks.rows) * (HEIGHT + GAP) - GAP,
    )


def fits(name: str) -> int:
    """Return how many letters of `name` a box shows."""
    return min(len(name), int((_WIDEST - 28) / _LETTER))


def _box_width(names: Sequence[str]) -> float:
    longest = max(map(len, names), default=0)
    return min(max(longest * _LETTER + 28, _NARROWEST), _WIDEST)


def _spots(ranks: Ranks, box: float) -> dict[Slot, float]:
    """Return how far right each slot is, after some rounds of moving closer."""
    near: dict[Slot, list[Slot]] = {slot: [] for row in ranks.rows for slot in row}
    for chain in ranks.chains.values():
        for upper, lower in itertools.pairwise(chain):
            # What passes pulls twice: long lines are to be straight.
            weight = 2 if upper.passing and lower.passing else 1
            near[upper] += [lower] * weight
            near[lower] += [upper] * weight
    spots: dict[Slot, float] = {}
    for row in ranks.rows:
        offsets = _offsets(row, box)
        for slot, offset in zip(row, offsets, strict=True):
            spots[slot] = offset - offsets[-1] / 2
    for sweep in range(_ROUNDS):
        middle = (min(spots.values()) + max(spots.values())) / 2 if spots else 0.0
        for row in ranks.rows if sweep % 2 else reversed(ranks.rows):
            wanted = [
                sum(spots[other] for other in near[slot]) / len(near[slot])
                if near[slot]
                else middle
                for slot in row
            ]
            spots |= zip(row, _apart(wanted, _offsets(row, box)), strict=True)
    return spots


def _offsets(row: Sequence[Slot], box: float) -> list[float]:
    """Return the least distance of each slot from the first of its row."""
    offsets = [0.0]
    for one, other in itertools.pairwise(row):
        wide = [bool(slot.service) for slot in (one, other)]
        between = _SPACE if all(wide) else _LINE if any(wide) else _LINES
        offsets.append(offsets[-1] + between + sum(wide) * box / 2)
    return offsets


def _apart(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """Return the places nearest to `wanted` that keep order and distance.

    Less their offsets the places may not fall, so this is isotonic regression: blocks
    that would stand too close are joined, and stand in the middle of their wishes.
    """
    blocks: list[tuple[float, int]] = []  # sum of wishes, how many
    for wish, offset in zip(wanted, offsets, strict=True):
        total, count = wish - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] >= total / count:
            before, several = blocks.pop()
            total, count = total + before, count + several
        blocks.append((total, count))
    level = [total / count for total, count in blocks for _ in range(count)]
    return [spot + offset for spot, offset in zip(level, offsets, strict=True)]
