"""Is a phase proved: what every identity showed, held against what it should have.

`rotation` asks before each phase. The evidence is gathered on the hosts, from the live
port and the generation behind it; the ledger says of its serial what it can be. An
identity of the policy that shows nothing is a laggard, too. Waivers are explicit, and
are written down with the step.

What this does not prove: that the evidence is true. It is the word of hosts over SSH,
which Ansible trusts, and of the live ports.
"""

import msgspec

from pki import clock
from pki.decision import Desk
from pki.entry import Entry, Event
from pki.errors import PkiError
from pki.pointers import authority_of
from pki.rotation_steps import Waiver


class LaggardsError(PkiError):
    """The phase is not proved for some identities; `details` says what is wrong."""

    code = "laggards"

    def __init__(self, laggards: dict[str, list[str]]) -> None:
        told = "; ".join(f"{name}: {', '.join(why)}" for name, why in laggards.items())
        super().__init__(f"the phase is not proved for {len(laggards)}: {told}")
        self.laggards = [
            {"identity": name, "wrong": why} for name, why in laggards.items()
        ]
        self.details = {"laggards": self.laggards}


class UnknownWaiverError(PkiError):
    """A waiver names an identity that the policy does not, or gives no reason."""

    code = "unknown_waiver"


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one identity showed."""

    identity: str
    roots: list[str]  # SHA-256 of each root of the bundle beside the certificate
    issuer: str  # key identifier in hex
    serial: str  # in hex
    live: bool  # the live port presents this serial


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all identities showed, and which are not waited for."""

    evidence: list[Evidence] = []
    waivers: list[Waiver] = []


def check_proof(desk: Desk, proof: Proof) -> tuple[Waiver, ...]:
    """Return the waivers that were needed, if all else is proved.

    For each identity of the policy:

    1. There is evidence.
    2. Its live port presents the serial.
    3. The bundle beside it holds the roots to be trusted, and no other.
    4. The ledger knows the serial as this identity's, by the key that signs now; it
       has not ended and is not revoked.
    5. It was issued after the moment from which on all are to be new, if there is one.

    Raises:
        UnknownWaiverError: a waiver is for nobody, or without a reason.
        LaggardsError: some of it does not hold for an identity that is not waived.
    """
    waivers = {waiver.identity: waiver for waiver in proof.waivers}
    for name, waiver in waivers.items():
        if name not in desk.policy.identities or not waiver.reason.strip():
            raise UnknownWaiverError(f"a waiver for {name!r}: {waiver.reason!r}")
    shown = {one.identity: one for one in proof.evidence}
    wrong = {
        name: said
        for name in sorted(desk.policy.identities)
        if (said := _wrong(desk, name, shown.get(name)))
    }
    if laggards := {name: why for name, why in wrong.items() if name not in waivers}:
        raise LaggardsError(laggards)
    return tuple(waivers[name] for name in wrong)


def _wrong(desk: Desk, identity: str, shown: Evidence | None) -> list[str]:
    if shown is None:  # 1
        return ["no evidence"]
    wrong = []
    if not shown.live:  # 2
        wrong.append("its live port does not present the certificate")
    if set(shown.roots) != set(desk.standing.trusted_roots):  # 3
        wrong.append("it trusts other roots")
    entry = _issued(desk, identity, shown.serial)
    if entry is None:  # 4
        return [*wrong, f"the ledger has no such certificate of it: {shown.serial}"]
    issuer = authority_of(desk.issuing)
    if entry.authority != issuer or shown.issuer != issuer:
        wrong.append(f"it is certified by {shown.issuer}, not by {issuer}")
    if entry.not_after <= clock.to_text(desk.now):
        wrong.append(f"its certificate ended at {entry.not_after}")
    if desk.ledger.find(Event.REVOKED, issuer=entry.issuer, serial=entry.serial):
        wrong.append("its certificate is revoked")
    if desk.ledger.sequence_of(entry) <= desk.standing.replaced_up_to:  # 5
        wrong.append(f"its certificate is of before {desk.standing.issued_after}")
    return wrong


def _issued(desk: Desk, identity: str, serial: str) -> Entry | None:
    # All issuing CAs have one name.
    name = desk.issuing.subject.rfc4514_string()
    entry = desk.ledger.find(Event.ISSUED, issuer=name, serial=serial.lower())
    return entry if entry and entry.identity == identity else None
