"""The parts of the drill, and who may play them.

Called by `consistency`. A part that nobody can play is refused with its own sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .document import Document, KeyPath
    from .model import Topology


def check_parts(document: Document, topology: Topology) -> None:
    """Refuse a drill whose parts cannot be played.

    Raises:
        TopologyError: the sentence says which part, and who could play it.
    """
    drill = topology.drill
    if drill is None:
        return
    for part in ("victim", "target", "thief"):
        document.check_declared(
            ("drill", part),
            drill[part],
            kind="service",
            known=topology.services,
        )
    victim, target = drill["victim"], drill["target"]
    if target not in topology.services[victim].calls:
        raise document.refuse(
            ("drill", "target"), f"expected a service that {victim} calls"
        )
    if drill["thief"] in {victim, target}:
        raise document.refuse(
            ("drill", "thief"), "expected a service besides victim and target"
        )
    casting = _Casting(document, topology)
    for part, binding in (
        ("bearer_client", "none"),
        ("bearer_brief_client", "none"),
        ("brief_client", "certificate"),
    ):
        casting.check(("drill", part), drill[part], victim, target, binding=binding)
    for kind in ("dpop", "phantom", "exchanged"):
        if kind in drill:
            getattr(casting, f"check_{kind}")(drill)


@dataclass(frozen=True)
class _Casting:
    """Who may play, by the kind of token he plays with."""

    document: Document
    topology: Topology

    def check_dpop(self, drill: Mapping[str, Any]) -> None:
        """Refuse clients whose tokens are bound to no key."""
        for part, name in drill["dpop"].items():
            key = ("drill", "dpop", part)
            self.check(key, name, drill["victim"], drill["target"], binding="dpop")

    def check_phantom(self, drill: Mapping[str, Any]) -> None:
        """Refuse a gateway that leads elsewhere, and clients that do not use it."""
        gateway, target = drill["phantom"]["gateway"], drill["target"]
        key: KeyPath = ("drill", "phantom", "gateway")
        known = self.topology.gateways
        self.document.check_declared(key, gateway, kind="gateway", known=known)
        if target not in known[gateway].calls:
            raise self.document.refuse(key, f"expected one that leads to {target}")
        for part in ("client", "brief_client"):
            key, name = ("drill", "phantom", part), drill["phantom"][part]
            self.check(key, name, drill["victim"], gateway, form="opaque")

    def check_exchanged(self, drill: Mapping[str, Any]) -> None:
        """Refuse a service that the target does not call, or nobody is let call."""
        target, onward = drill["target"], drill["exchanged"]["service"]
        if onward not in self.topology.services[target].calls or (
            onward == drill["victim"]
        ):
            raise self.document.refuse(
                ("drill", "exchanged", "service"),
                f"expected a service besides {drill['victim']} that {target} calls",
            )
        key, name = ("drill", "exchanged", "brief_client"), "brief_client"
        self.check(key, client := drill["exchanged"][name], target, onward)
        if not self.topology.clients[client].exchanges:
            raise self.document.refuse(key, "expected a client that exchanges")

    def check(  # noqa: PLR0913 -- what a client is
        self,
        key: KeyPath,
        name: str,
        service: str,
        callee: str,
        *,
        binding: str = "certificate",
        form: str = "jwt",
    ) -> None:
        """Refuse a client that is none of `service` for such tokens at `callee`."""
        known = self.topology.clients
        self.document.check_declared(key, name, kind="client", known=known)
        client = known[name]
        if (client.service, client.binding, client.format) != (
            (service, binding, form)
        ) or callee not in client.calls:
            tokens = "" if form == "jwt" else f" and format {form}"
            raise self.document.refuse(
                key,
                f"expected a client of {service} with binding {binding}{tokens} "
                f"that calls {callee}",
            )
