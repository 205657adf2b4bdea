"""What there is to report: the answers of probe and drill, and what was rolled out.

One JSON document on standard input, put together by whoever ran the commands:

    {"probe": ..., "drill": ..., "deployment": ..., "run": {"id": ..., "ansible": ...}}

Each member may be missing, and members that are not known here are passed over, so that
an older report reads what a newer probe says.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from services.config import ConfigError
from services.deployment import Deployment
from services.drill.result import Cell, Result, Row
from services.probe import Edge, Findings, Identity

TOKEN_SERVICE = "token-service"  # noqa: S105 - a name, no password
_CALLED = {"group": "key exchange"}
_NOTHING = {"", "0", "unknown"}


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
    def identities(self) -> list[Identity]:
        """Every identity that was read off a live port."""
        return [] if self.probe is None else self.probe.identities

    @property
    def missing(self) -> list[str]:
        """The instances that nobody could look at."""
        return [] if self.probe is None else self.probe.missing

    @property
    def services(self) -> list[str]:
        """Services and gateways, in the order in which they were declared or seen."""
        if self.deployment is not None:
            return list(self.deployment.workloads)
        names = [one.service for one in self.identities]
        ends = [name for edge in self.edges for name in (edge.caller, edge.callee)]
        return [name for name in dict.fromkeys(names + ends) if name != TOKEN_SERVICE]

    @property
    def on_several_hosts(self) -> set[str]:
        """The services of which there is more than one instance."""
        seen = Counter(
            service
            for service, host in {
                *((one.service, one.host) for one in self.identities),
                *(hosts_of(edge)[0] for edge in self.edges),
                *(hosts_of(edge)[1] for edge in self.edges),
            }
            if host
        )
        return {service for service, hosts in seen.items() if hosts > 1}


def hosts_of(edge: Edge) -> tuple[tuple[str, str], tuple[str, str]]:
    """Return caller and callee, each with its host if the probe has said that."""
    return (edge.caller, edge.caller_host), (edge.callee, edge.callee_host)


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


def kinds_in(drill: Result) -> list[str]:
    """Return the kinds of tokens that a drill knows, in its own order."""
    known = [name for row in drill.rows for name in row.__struct_fields__]
    tried = {name for row in drill.rows for name, _ in cells_of(row)}
    return [name for name in dict.fromkeys(known) if name in tried]


def more_of(seen: msgspec.Struct, *shown: str) -> Iterator[tuple[str, str]]:
    """Yield what else a probe has said, in words: all but the members in `shown`."""
    for name in seen.__struct_fields__:
        value = getattr(seen, name)
        told = isinstance(value, str | int) and str(value) not in _NOTHING
        if told and name not in shown:
            yield _CALLED.get(name, name.replace("_", " ")), str(value)
