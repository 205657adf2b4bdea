"""One line of the ledger, as the one who writes it states it.

`signing` makes them, `ledger` chains and keeps them, `report` shows them.
"""

from dataclasses import dataclass
from enum import StrEnum


class Event(StrEnum):
    """What happened to a certificate."""

    PLANNED = "planned"
    ISSUED = "issued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What happened to which certificate, when, for whom.

    Serials and hashes are lower-case hex, moments as `clock.to_text` writes them, the
    certificate is base64 of its DER form and there only once it is issued. The issuer
    is a name as RFC 4514 writes it: serials are unique within it.
    """

    event: Event
    recorded_at: str
    run_id: str
    issuer: str
    serial: str
    identity: str
    spiffe_id: str
    spki_sha256: str
    not_before: str
    not_after: str
    certificate: str | None = None
