"""What there is to report: the answers of probe and drill, and what was rolled out.

One JSON document on standard input, put together by whoever ran the commands:

    {"probe": ..., "drill": ..., "deployment": ..., "run": {"id": ..., "ansible": ...}}

Each member may be missing, and members that are not known here are passed over, so that
an older report reads what a newer probe says.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from services.config import ConfigError
from services.deployment import Deployment
from services.drill.drill import Cell, Result, Row
from services.probe import Edge, Findings

TOKEN_SERVICE = "token-service"  # noqa: S105 - a name, no password


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The roll-out that this belongs to; `renew_before` is in seconds."""

    id: str = ""
    ansible: str = ""
    renew_before: int = 0


class Observations(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to show; whatever was not run is left out."""

    probe: Findings | None = None
    drill: Result | None = None
    deployment: Deployment | None = None
    run: Run = Run()

    @property
    def edges(self) -> list[Edge]:
        """Every call that was tried."""
        return [] if self.probe is None else self.probe.edges

    @property
    def services(self) -> list[str]:
        """The services, in the order in which they were declared or seen."""
        if self.deployment is not None:
            return list(self.deployment.services)
        seen = [] if self.probe is None else self.probe.identities
        names = [one.service for one in seen if one.service != TOKEN_SERVICE]
        ends = [name for edge in self.edges for name in (edge.caller, edge.callee)]
        return list(dict.fromkeys(names + ends))


def read_observations(document: bytes) -> Observations:
    """Read the JSON form, as the commands `probe` and `drill` print it.

    Raises:
        ConfigError: it is not what those commands print.
    """

    def decode(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str):
            return Path(value)
        raise ValueError(f"expected a path, got {value!r}")

    try:
        return msgspec.json.decode(document, type=Observations, dec_hook=decode)
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigError(f"observations: {error}") from None


def cells_of(row: Row) -> Iterator[tuple[str, Cell]]:
    """Yield the tries of a row of the drill, one for each kind of token it knows."""
    for name in row.__struct_fields__:
        cell = getattr(row, name)
        if isinstance(cell, Cell):
            yield name, cell


def more_of(seen: msgspec.Struct, *shown: str) -> Iterator[tuple[str, str]]:
    """Yield what else a probe has said, in words: all but the members in `shown`."""
    for name in seen.__struct_fields__:
        value = getattr(seen, name)
        if name not in shown and isinstance(value, str | int) and value:
            yield name.replace("_", " "), str(value)
