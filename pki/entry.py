"""One line of the ledger, as the one who writes it states it.

`signing` and `withdrawal` make them, `ledger` chains and keeps them, `report` shows
them.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple


class Event(StrEnum):
    """What happened to a certificate, or to the CA itself."""

    PLANNED = "planned"
    ISSUED = "issued"
    SUPERSEDED = "superseded"  # its identity was given a newer one
    REVOKED = "revoked"
    ROTATED = "rotated"  # no certificate: `rotation_steps` says what is in the entry


class Reason(StrEnum):
    """Why a certificate is revoked (RFC 5280, section 5.3.1, by its names there).

    Two are missing: certificateHold, because what is revoked here stays revoked, and
    removeFromCRL, which only ends a hold.
    """

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What happened to which certificate, when, for whom.

    Serials and hashes are lower-case hex, moments as `clock.to_text` writes them, the
    certificate is base64 of its DER form and there only once it is issued. The issuer
    is a name as RFC 4514 writes it: serials are unique within it. `authority` is the
    key identifier of who signed, in hex, which tells the generations of a CA of one
    name apart; the first release did not write it down.
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
    reason: Reason | None = None  # only of what is revoked
    authority: str | None = None
    detail: str | None = None  # JSON, of what is no certificate


class Revocation(NamedTuple):
    """A revoked certificate, as a list of them needs it."""

    sequence: int  # of the entry that says so
    serial: int
    at: datetime
    reason: Reason
    not_after: datetime
