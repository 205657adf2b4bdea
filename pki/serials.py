"""Serial numbers of certificates, as many as a list may hold, in little space.

A set of a hundred thousand numbers takes some ten megabytes, and half as much again
while it grows. Here each takes its twenty octets (RFC 5280, section 4.1.2.2): they lie
side by side in order, and who asks halves the distance seventeen times.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from heapq import merge
from itertools import islice

_SIZE = 20  # octets
_AT_ONCE = 4096  # numbers: no more are ever there as objects of their own


class Serials(AbstractSet[int]):
    """A set of serial numbers, which never changes."""

    __slots__ = ("_octets", "_others")

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        others: set[int] = set()
        parts = _fitting(numbers, others)
        runs = iter(lambda: b"".join(sorted(islice(parts, _AT_ONCE))), b"")
        self._octets = _merged(list(runs))
        self._others = frozenset(others)

    def __contains__(self, number: object) -> bool:
        """Return whether `number` is one of them."""
        if not isinstance(number, int):
            return False
        try:
            octets = number.to_bytes(_SIZE)
        except OverflowError:
            return number in self._others
        at = bisect_left(range(len(self._octets) // _SIZE), octets, key=self._part)
        return self._part(at) == octets

    def __iter__(self) -> Iterator[int]:
        """Yield each once."""
        yield from map(int.from_bytes, _parts(self._octets))
        yield from self._others

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._octets) // _SIZE + len(self._others)

    def _part(self, at: int) -> bytes:
        return self._octets[at * _SIZE : (at + 1) * _SIZE]


def _fitting(numbers: Iterable[int], others: set[int]) -> Iterator[bytes]:
    """Yield each number's octets; what is negative or longer joins the `others`."""
    for number in numbers:
        try:
            yield number.to_bytes(_SIZE)
        except OverflowError:
            others.add(number)


def _merged(runs: list[bytes]) -> bytes:
    """Return the parts of all runs, each of which is in order, in order and once."""
    octets, last = bytearray(), b""
    for part in merge(*map(_parts, runs)):
        if part != last:
            octets += part
            last = part
    return bytes(octets)


def _parts(octets: bytes) -> Iterator[bytes]:
    return (octets[at : at + _SIZE] for at in range(0, len(octets), _SIZE))
