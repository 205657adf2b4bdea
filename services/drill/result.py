"""What the drill answers: one row for each theft, one cell for each kind of token.

A cell that another host has to play, because the key is there, says `NOT_TRIED` and is
not ok: a drill of which a part was left out looks like no success. A theft that means
nothing for a kind of token has no cell there at all.
"""

import msgspec

ACCEPTED = "accepted"
NOT_TRIED = "not tried"
KINDS = ("bearer", "bound", "dpop", "phantom", "exchanged")


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One try with one kind of token."""

    expected: str
    happened: str
    ok: bool


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way to use a token, tried with each kind it means something for."""

    tried: str
    bearer: Cell | None = None
    bound: Cell | None = None
    dpop: Cell | None = None
    phantom: Cell | None = None
    exchanged: Cell | None = None
    ok: bool

    @classmethod
    def of(cls, tried: str, cells: dict[str, Cell]) -> "Row":
        """Return the row of these cells, by kind."""
        ok = all(cell.ok for cell in cells.values())
        return cls(tried=tried, ok=ok, **cells)

    @property
    def cells(self) -> dict[str, Cell]:
        """The cells there are, by kind."""
        found = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: cell for kind, cell in found.items() if cell is not None}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The whole table; `onward` is whom the target calls for the victim."""

    victim: str
    target: str
    thief: str
    onward: str = ""
    rows: list[Row]
    ok: bool

    @property
    def differs(self) -> bool:
        """Whether anything that was tried came out otherwise than it should."""
        return any(
            not cell.ok and cell.happened != NOT_TRIED
            for row in self.rows
            for cell in row.cells.values()
        )


def cell_of(expected: str, happened: str) -> Cell:
    """Return the cell of a try that came out so."""
    return Cell(expected=expected, happened=happened, ok=happened == expected)
