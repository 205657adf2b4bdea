"""What the FAPI 2.0 Security Profile forbids a topology to say.

`services.fapi2` refuses the same in each document; here the sentence names the key, and
comes before anything is touched. Called by `consistency`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .model import in_words

if TYPE_CHECKING:
    from .document import Document, KeyPath
    from .model import Topology

LONGEST_TOKEN = timedelta(minutes=10)  # as in `services.fapi2`


def check_profile(document: Document, topology: Topology) -> None:
    """Refuse what the profile of `topology` has no room for.

    Raises:
        TopologyError: the sentence names what is forbidden.
    """
    if topology.profile != "fapi2":
        return
    for name, client in topology.clients.items():
        if client.binding == "none":
            raise document.refuse(
                ("clients", name, "binding"),
                "fapi2 forbids bearer tokens, expected certificate or dpop",
            )
        if "spiffe_x509" in client.authentication:
            raise document.refuse(
                ("clients", name, "authentication", "spiffe_x509"),
                "fapi2 has no such method, expected another",
            )
    lives: list[tuple[KeyPath, timedelta]] = [
        (("lifetimes", "token"), topology.lifetimes.token),
        *(
            (("clients", c.name, "lifetime"), c.lifetime)
            for c in topology.clients.values()
        ),
    ]
    for key, life in lives:
        if life > LONGEST_TOKEN:
            raise document.refuse(
                key,
                f"got {in_words(life)}, and fapi2 allows a token "
                f"{in_words(LONGEST_TOKEN)} at most",
            )
