"""The parts of the drill, and who may play them.

Called by `consistency`. A part that nobody can play is refused with its own sentence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .document import Document
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
    for part, binding in (
        ("bearer_client", "none"),
        ("bearer_brief_client", "none"),
        ("brief_client", "certificate"),
    ):
        name = drill[part]
        document.check_declared(
            ("drill", part), name, kind="client", known=topology.clients
        )
        client = topology.clients[name]
        if (client.service, client.binding) != (victim, binding) or (
            target not in client.calls
        ):
            raise document.refuse(
                ("drill", part),
                f"expected a client of {victim} with binding {binding} "
                f"that calls {target}",
            )
