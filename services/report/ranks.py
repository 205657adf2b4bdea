"""Which service stands in which row of the picture, and next to whom.

Pure. Callers stand above those whom they call; a chain of calls that comes back to its
beginning is cut there. A call that passes a row has a slot of its own in it, so that
its line runs between the boxes. The order within a row is the one, of those that
averaging over neighbours finds, in which the fewest lines cross.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_SWEEPS = 12

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a row: for a service, or for the line of a call that passes."""

    service: str = ""
    passing: Pair | None = None
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Ranks:
    """The rows, and each downward call as the slots it leads through."""

    rows: list[list[Slot]]
    chains: dict[Pair, list[Slot]]


def rank(names: Sequence[str], calls: Iterable[Pair], columns: int) -> Ranks:
    """Return rows of at most `columns` services each."""
    forward = _without_circles(names, calls)
    ranks = _numbers(names, forward, columns)
    rows: list[list[Slot]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    slots = {name: Slot(name, None, number) for name, number in ranks.items()}
    for name in names:
        rows[ranks[name]].append(slots[name])
    chains = {}
    for caller, callees in forward.items():
        for callee in callees:
            pair = caller, callee
            between = range(ranks[caller] + 1, ranks[callee])
            passing = [Slot("", pair, number) for number in between]
            for slot in passing:
                rows[slot.rank].append(slot)
            chains[pair] = [slots[caller], *passing, slots[callee]]
    return Ranks(_ordered(rows, chains), chains)


def _without_circles(
    names: Sequence[str], calls: Iterable[Pair]
) -> dict[str, list[str]]:
    """Return who calls whom, less the calls that lead back to a caller."""
    callees: dict[str, list[str]] = {name: [] for name in names}
    for caller, callee in dict.fromkeys(calls):
        if caller in callees and callee in callees and caller != callee:
            callees[caller].append(callee)
    called = {callee for several in callees.values() for callee in several}
    forward: dict[str, list[str]] = {name: [] for name in names}
    done: set[str] = set()

    def walk(name: str, path: frozenset[str]) -> None:
        for callee in callees[name]:
            if callee not in path:
                forward[name].append(callee)
                if callee not in done:
                    walk(callee, path | {callee})
        done.add(name)

    for name in sorted(names, key=lambda name: name in called):
        if name not in done:
            walk(name, frozenset({name}))
    return forward


def _numbers(
    names: Sequence[str], forward: Mapping[str, list[str]], columns: int
) -> dict[str, int]:
    """Return each name's row: the first below all its callers that has room."""
    waiting = dict.fromkeys(names, 0)
    for callees in forward.values():
        for callee in callees:
            waiting[callee] += 1
    alone = {name for name in names if not waiting[name] and not forward[name]}
    ready = [name for name in names if not waiting[name] and name not in alone]
    lowest = dict.fromkeys(names, 0)
    filled: dict[int, int] = {}
    numbers: dict[str, int] = {}

    def settle(name: str, number: int) -> None:
        while filled.get(number, 0) >= columns:
            number += 1
        filled[number] = filled.get(number, 0) + 1
        numbers[name] = number

    while ready:
        # Who has most below it goes first, so that its chain is not pushed down.
        name = max(ready, key=lambda name: (-lowest[name], len(forward[name])))
        ready.remove(name)
        settle(name, lowest[name])
        for callee in forward[name]:
            lowest[callee] = max(lowest[callee], numbers[name] + 1)
            waiting[callee] -= 1
            if not waiting[callee]:
                ready.append(callee)
    below = max(numbers.values(), default=-1) + 1
    for name in names:
        if name in alone:
            settle(name, below)
    return numbers


def _ordered(
    rows: list[list[Slot]], chains: Mapping[Pair, list[Slot]]
) -> list[list[Slot]]:
    near: dict[Slot, list[Slot]] = {slot: [] for row in rows for slot in row}
    links = [link for chain in chains.values() for link in itertools.pairwise(chain)]
    for upper, lower in links:
        near[upper].append(lower)
        near[lower].append(upper)
    best, fewest = rows, _crossings(rows, links)
    for sweep in range(_SWEEPS):
        down = sweep % 2 == 0
        rows = [list(row) for row in rows]
        for row in rows if down else reversed(rows):
            _sort(row, rows, near, above=down)
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _sort(
    row: list[Slot],
    rows: list[list[Slot]],
    near: Mapping[Slot, list[Slot]],
    *,
    above: bool,
) -> None:
    """Sort a row by the middle of each slot's neighbours in the row above or below."""
    own = _spots(row)
    number = row[0].rank + (-1 if above else 1) if row else -1
    spots = _spots(rows[number]) if 0 <= number < len(rows) else {}

    def middle(slot: Slot) -> float:
        there = [spots[other] for other in near[slot] if other in spots]
        return sum(there) / len(there) if there else own[slot]

    row.sort(key=middle)


def _spots(row: Sequence[Slot]) -> dict[Slot, float]:
    """Return where each slot is, the middle of the row being 0."""
    return {slot: spot - (len(row) - 1) / 2 for spot, slot in enumerate(row)}


def _crossings(rows: list[list[Slot]], links: Sequence[tuple[Slot, Slot]]) -> int:
    spots = {slot: spot for row in rows for spot, slot in enumerate(row)}
    ends: dict[int, list[tuple[int, int]]] = {}
    for upper, lower in links:
        ends.setdefault(upper.rank, []).append((spots[upper], spots[lower]))
    return sum(
        (a - c) * (b - d) < 0
        for several in ends.values()
        for number, (a, b) in enumerate(several)
        for c, d in several[:number]
    )
