"""What is told of revocations must be able to arrive in time.

Called by `consistency`; `services.config` refuses the same sum in each document.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from .model import in_words

if TYPE_CHECKING:
    from .document import Document
    from .model import Topology

# As `services.enrolment.publication` and `services.wire.revocation_lists` have them.
_CACHED = timedelta(seconds=2)
_POLL = timedelta(seconds=1)
_LONGEST = timedelta(hours=1)


def check_publication(document: Document, topology: Topology) -> None:
    """Refuse a publication that nobody makes, or that could come too late.

    Raises:
        TopologyError: the sentence has the sum.
    """
    told = topology.publication
    if told is None:
        return
    if topology.ca_port is None:
        raise document.refuse(
            ("ca", "publication"), "is the CA's front's, expected ca.port beside it"
        )
    key = ("ca", "publication", "bound")
    if told.bound <= _CACHED + _POLL:
        raise document.refuse(
            key,
            f"{in_words(_CACHED)} in a cache and {in_words(_POLL)} between two "
            f"questions leave nothing of {in_words(told.bound)}, expected more",
        )
    if told.bound > _LONGEST:
        raise document.refuse(
            key,
            f"got {in_words(told.bound)}, expected at most {in_words(_LONGEST)}",
        )
