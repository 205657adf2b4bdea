"""Replace the issuing CA, the root or all certificates, in phases, while all goes on.

`python -m pki rotation` comes here. The phases and what each means are in
`rotation_steps`, what follows from one for issuing, trusting and publishing is read in
`present`. Here they begin: forward only on the proof of the one before, back at any
time until the old is distrusted.

Killed anywhere, the next run goes on: a key is on the disk before a step names it, the
step stands in the ledger before anything is certified, and every later phase is one
transaction.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from pki import clock
from pki.authority import open_desk
from pki.decision import Desk
from pki.envelope import RECOMMENDED, Cost
from pki.errors import PkiError
from pki.identity import trust_domain_uri
from pki.inspection import is_written, pem
from pki.keyring import Keyring, has_key
from pki.laggards import Proof, check_proof
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.pointers import authority_of
from pki.present import Present, certificates, present
from pki.profiles import BACKDATING
from pki.rotation_steps import ORDER, Generation, Phase, Step, What, append_step
from pki.storage import exclusive, write_atomically
from pki.successors import CeremonyNeededError, Successors, check_ready
from pki.withdrawal import revocations_of, revoke_authorities


class RotationError(PkiError):
    """The rotation cannot go where it is asked to."""

    code = "rotation_refused"


class NoRotationError(RotationError):
    """None is under way."""

    code = "no_rotation"


class OtherRotationError(RotationError):
    """One of another kind is under way: one at a time."""

    code = "other_rotation"


class IrreversibleError(RotationError):
    """The old is distrusted: there is no way back."""

    code = "irreversible"


@dataclass(frozen=True, slots=True)
class Moved:
    """The CA before and after a verb, and all steps of the rotation."""

    before: Present
    after: Present

    @property
    def changed(self) -> bool:
        """Whether there is a step more."""
        return len(self.before.steps) != len(self.after.steps)


def begin(  # noqa: PLR0913 - each is told apart by its name
    layout: Layout,
    what: What,
    *,
    keyring: Keyring,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
    cost: Cost = RECOMMENDED,
) -> Moved:
    """Make the keys and certificates that are missing for a rotation of `what`.

    One of the same kind that is under way is gone on with. New keys lie where the
    present ones do, under the same passphrases.

    Raises:
        NoAuthorityError, ClockBehindError: as `pki.authority.issue`.
        OtherRotationError: one of another kind is under way.
        CeremonyNeededError: the root is offline, and has to sign first.
        SealedKeyError, WrongIssuingKeyError: a key cannot be used.
    """
    with _open(layout, now, run_id) as desk:
        step = _under_way(desk, what)
        made = Successors(layout, desk, keyring, cost)
        if step is None:
            step = _plan(desk, what, made)
            _take(desk, step)
        if step.phase in {Phase.PREPARING, *ORDER[:2]}:
            made.certify(step)
        if step.phase is Phase.PREPARING:
            _take(desk, replace(step, phase=Phase.PREPARED))
        return _settled(layout, desk)


def would_begin(layout: Layout, what: What, *, run_id: str, now: datetime) -> bool:
    """Return whether `begin` would begin or complete anything.

    Raises:
        NoAuthorityError, ClockBehindError, OtherRotationError: as `begin`.
    """
    layout.check_complete()
    with open_ledger(layout.ledger) as ledger:
        step = _under_way(open_desk(layout, ledger, now, run_id), what)
        return step is None or step.phase is Phase.PREPARING


def advance(
    layout: Layout,
    proof: Proof,
    *,
    keyring: Keyring,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Moved:
    """Begin the next phase, if the present one is proved for every identity.

    That the keys and certificates are there is the whole proof of `prepared`. To begin
    `distrusting` takes the keys of the roots: the old issuing CA is revoked.

    Raises:
        NoRotationError: none is under way.
        UnpreparedError: `begin` was cut off, or what it made has ended, is revoked or
            permits less than the policy of today.
        LaggardsError, UnknownWaiverError: the proof does not hold.
        AuthorityCertificateError: the keyring has no root, and it takes one.
        CeremonyNeededError: the root is offline, and has to revoke first.
    """
    with _open(layout, now, run_id) as desk:
        step = _required(desk)
        check_ready(desk, step)
        proved = step.phase is Phase.PREPARED
        waivers = () if proved else check_proof(desk, proof)
        phase = ORDER[ORDER.index(step.phase) + 1]
        step = replace(step, phase=phase, waivers=waivers)
        if phase is Phase.SWITCHING and step.what is What.CERTIFICATES:
            step = replace(step, issued_after=_first_begin(desk.now))
        if phase is Phase.DISTRUSTING and step.what is not What.CERTIFICATES:
            _distrust(layout, desk, step, keyring)
        else:
            _take(desk, step)
        return _settled(layout, desk)


def reverse(
    layout: Layout, *, run_id: str, now: Callable[[], datetime] = clock.utc_now
) -> Moved:
    """Go one phase back; from the first one the rotation is given up.

    What the new issuing CA has signed goes on, as do its lists, until it ends.

    Raises:
        NoRotationError: none is under way.
        IrreversibleError: the old is distrusted already.
    """
    with _open(layout, now, run_id) as desk:
        step = _required(desk)
        if step.phase is Phase.DISTRUSTING:
            raise IrreversibleError("the old issuing CA is revoked: only forward")
        phase = Phase.REVERSED
        if step.phase in ORDER[1:]:
            phase = ORDER[ORDER.index(step.phase) - 1]
        step = replace(step, phase=phase, waivers=())
        if phase not in ORDER[2:]:
            first = next(one for one in desk.standing.steps if one.id == step.id)
            step = replace(step, issued_after=first.issued_after)
        _take(desk, step)
        return _settled(layout, desk)


@contextmanager
def _open(layout: Layout, now: Callable[[], datetime], run_id: str) -> Iterator[Desk]:
    layout.check_complete()
    with exclusive(layout.lock), open_ledger(layout.ledger) as ledger:
        yield open_desk(layout, ledger, now(), run_id)


def _under_way(desk: Desk, what: What) -> Step | None:
    step = desk.standing.rotation
    if step and step.what is not what:
        raise OtherRotationError(f"the rotation of {step.what} is {step.phase}")
    return step


def _required(desk: Desk) -> Step:
    step = desk.standing.rotation
    if step is None:
        raise NoRotationError("no rotation is under way")
    return step


def _plan(desk: Desk, what: What, made: Successors) -> Step:
    """Make the keys, and say what is to follow what."""
    old = Generation(
        root=authority_of(desk.standing.root), issuing=authority_of(desk.issuing)
    )
    root, issuing = old.root, old.issuing
    if what is What.ROOT:
        root = made.root_key(desk.standing.root)
    if what is not What.CERTIFICATES:
        issuing = made.key("issuing", old.issuing)
    return Step(
        id=secrets.token_hex(8),
        what=what,
        phase=Phase.PREPARING,
        before=old,
        after=Generation(root=root, issuing=issuing),
        issued_after=desk.standing.issued_after,
    )


def _distrust(layout: Layout, desk: Desk, step: Step, keyring: Keyring) -> None:
    """Revoke what leads to the old issuing CA and the old root, and begin the phase."""
    old = revocations_of(desk, "issuing", step.before.issuing)
    if step.what is What.ROOT:
        old += revocations_of(desk, "cross", step.before.root)
    roots = certificates(desk.ledger, "root")
    if offline := [
        entry.serial
        for entry in old
        if not has_key(layout, "root", roots[entry.authority or ""])
    ]:
        raise CeremonyNeededError(
            f"the root is offline: have the serials {', '.join(offline)} revoked as"
            " superseded in a ceremony, import the result, and go on (docs/keys.md)"
        )
    revoke_authorities(desk, old, keyring, also=lambda: _append(desk, step))


def _take(desk: Desk, step: Step) -> None:
    with desk.ledger.transaction():
        _append(desk, step)


def _append(desk: Desk, step: Step) -> None:
    uri = trust_domain_uri(desk.policy.trust_domain)
    append_step(desk.ledger, step, now=desk.now, run_id=desk.run_id, spiffe_id=uri)


def _settled(layout: Layout, desk: Desk) -> Moved:
    """Bring the copies of the certificates in use up to date."""
    after = present(desk.ledger)
    for purpose, certificate in (("root", after.root), ("issuing", after.issuing)):
        if not is_written(layout, purpose, certificate):
            write_atomically(layout.certificate(purpose), pem(certificate))
    return Moved(desk.standing, after)


def _first_begin(now: datetime) -> str:
    """Return the first begin that no certificate of before `now` can have."""
    return clock.to_text(now - BACKDATING + timedelta(seconds=1))
