"""How far a rotation is: its steps, each an entry of the ledger, the newest in force.

`rotation` takes them, `present` reads them. They are chained with all other entries, so
nobody moves a rotation, or hides a waiver, without breaking the chain. A CA that never
rotated has none.

    prepared      keys and certificates exist, nobody trusts or uses them
    distributing  what is trusted holds the old root and the new one
    switching     the new issuing key signs; its chain ends at either root
    draining      nobody presents the old one's; its key signs lists alone
    distrusting   the new root alone is trusted, the old issuing CA is revoked
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from pki import clock
from pki.canonical import canonical_json
from pki.entry import Entry, Event
from pki.ledger import Ledger

_IDENTITY = "rotation"  # as the ledger calls it; no service's name is without an @


class What(StrEnum):
    """What is replaced."""

    ISSUING = "issuing"
    ROOT = "root"  # and the issuing CA with it
    CERTIFICATES = "certificates"


class Phase(StrEnum):
    """What the hosts are being brought to."""

    PREPARING = "preparing"  # the keys exist, not all certificates
    PREPARED = "prepared"
    DISTRIBUTING = "distributing"
    SWITCHING = "switching"
    DRAINING = "draining"
    DISTRUSTING = "distrusting"
    DONE = "done"
    REVERSED = "reversed"


ORDER = (
    Phase.PREPARED,
    Phase.DISTRIBUTING,
    Phase.SWITCHING,
    Phase.DRAINING,
    Phase.DISTRUSTING,
    Phase.DONE,
)
_OVER = {Phase.DONE, Phase.REVERSED}
_SWITCHED = ORDER[2:]


class Generation(msgspec.Struct, frozen=True):
    """A root and an issuing CA, by their key identifiers in hex."""

    root: str
    issuing: str


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An identity that a phase does not wait for, and why."""

    identity: str
    reason: str


class _Detail(msgspec.Struct, frozen=True):
    id: str
    what: What
    phase: Phase
    before: Generation
    after: Generation
    issued_after: str | None
    waivers: tuple[Waiver, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A phase that began. `sequence` is its entry's place in the ledger."""

    id: str
    what: What
    phase: Phase
    before: Generation
    after: Generation
    issued_after: str | None = None  # what began before is to be replaced
    waivers: tuple[Waiver, ...] = ()
    at: str = ""
    run_id: str = ""
    sequence: int = 0

    @property
    def is_over(self) -> bool:
        """Whether the rotation is."""
        return self.phase in _OVER

    @property
    def signing(self) -> Generation:
        """What signs in this phase."""
        return self.after if self.phase in _SWITCHED else self.before


def read_steps(ledger: Ledger) -> list[Step]:
    """Return all steps of all rotations, the newest last."""
    found = []
    for entry in ledger.entries_of(_IDENTITY, Event.ROTATED):
        said = msgspec.json.decode(entry.detail or "", type=_Detail)
        found.append(
            Step(
                **{name: getattr(said, name) for name in _Detail.__struct_fields__},
                at=entry.recorded_at,
                run_id=entry.run_id,
                sequence=ledger.sequence_of(entry),
            )
        )
    return found


def append_step(
    ledger: Ledger, step: Step, *, now: datetime, run_id: str, spiffe_id: str
) -> None:
    """Add `step` to the ledger; the caller holds the transaction."""
    stated = {name: getattr(step, name) for name in _Detail.__struct_fields__}
    at = clock.to_text(now)
    taken = sum(earlier.id == step.id for earlier in read_steps(ledger))
    ledger.append(
        Entry(
            event=Event.ROTATED,
            recorded_at=at,
            run_id=run_id,
            issuer=f"rotation {step.id}",
            serial=f"{taken + 1:x}",
            identity=_IDENTITY,
            spiffe_id=spiffe_id,
            spki_sha256="",
            not_before=at,
            not_after=at,
            detail=canonical_json(msgspec.to_builtins(stated)).decode(),
        )
    )
