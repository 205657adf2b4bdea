"""A rotation: which phase begins when, what signs and is trusted, what is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pki import authority, clock, rotation
from pki.decision import Request, Verdict
from pki.entry import Event
from pki.envelope import WrongPassphraseError
from pki.inspection import inspect
from pki.keyring import Keyring
from pki.laggards import Evidence, LaggardsError, Proof, UnknownWaiverError
from pki.ledger import open_ledger
from pki.pointers import authority_of
from pki.present import is_revoked
from pki.request import AuthorityKeyError
from pki.rotation_steps import Phase, Waiver, What
from pki.successors import UnpreparedError
from pki.withdrawal import AuthorityCertificateError
from tests.pki.builders import (
    CHEAP,
    ISSUING_PASSPHRASE,
    ROOT_PASSPHRASE,
    Ca,
    csr,
    p256,
    policy,
    policy_document,
)
from tests.pki.rotating import PHASES, Rotating

ORDERS, STOCK = "orders@localhost", "stock@localhost"


@pytest.mark.parametrize("what", What)
def test_a_rotation_goes_through_its_phases(ca: Ca, what: What) -> None:
    """Each on the proof of the one before, to its end; the ledger tells of each."""
    rotating = Rotating(ca, what)
    assert rotating.begin().changed
    seen = [rotating.phase]
    while rotating.phase:
        moved = rotating.advance()
        assert moved.changed
        seen.append(moved.after.steps[-1].phase)
    assert tuple(seen) == PHASES
    with open_ledger(ca.layout.ledger) as ledger:
        ledger.verify()
        assert len(list(ledger.entries_of("rotation", Event.ROTATED))) == 7


def test_a_new_issuing_ca_signs_from_switching_on(ca: Ca) -> None:
    """Under the same root, which is all that is trusted throughout."""
    old = ca.certificate("issuing")
    rotating = Rotating(ca, What.ISSUING)
    rotating.begin()
    signers = []
    while rotating.phase:
        standing = rotating.standing
        assert standing.roots == (ca.certificate("root"),)
        assert standing.chain == (standing.issuing,)
        signers.append(standing.issuing == old)
        rotating.advance()
    assert signers == [True, True, False, False, False]
    assert rotating.standing.issuing != old
    assert rotating.standing.issuing.subject == old.subject
    assert ca.certificate("issuing") == rotating.standing.issuing


def test_a_new_root_is_trusted_beside_the_old_until_it_is_distrusted(ca: Ca) -> None:
    """And while it signs, its chain ends at either."""
    old = ca.certificate("root")
    rotating = Rotating(ca, What.ROOT)
    rotating.begin()
    trusted, lengths = [], []
    while rotating.phase:
        standing = rotating.standing
        trusted.append((old in standing.roots, len(standing.roots)))
        lengths.append(len(standing.chain))
        rotating.advance()
    assert trusted == [(True, 1), (True, 2), (True, 2), (True, 2), (False, 1)]
    assert lengths == [1, 1, 2, 2, 1]
    new = rotating.standing.root
    assert ca.certificate("root") == new
    assert new.subject == old.subject
    assert new.public_key() != old.public_key()
    rotating.standing.issuing.verify_directly_issued_by(new)


def test_all_certificates_are_issued_anew(ca: Ca) -> None:
    """Also for a key that has a young one: the same key gets another certificate."""
    key = p256()
    (before,) = ca.issue((ORDERS, csr(key))).answers
    rotating = Rotating(ca, What.CERTIFICATES).to(Phase.DISTRIBUTING)
    (again,) = ca.issue((ORDERS, csr(key))).answers
    assert again.verdict is Verdict.REUSED
    rotating.advance()
    (after,) = ca.issue((ORDERS, csr(key))).answers
    assert after.verdict is Verdict.ISSUED
    assert before.certificate
    said = rotating.standing.issued_after
    assert said
    assert before.certificate.not_valid_before_utc < clock.from_text(said)


def test_what_is_of_before_is_a_laggard(ca: Ca) -> None:
    """When all certificates are to be new."""
    rotating = Rotating(ca, What.CERTIFICATES).to(Phase.DISTRIBUTING)
    held = rotating.everyone()
    rotating.advance(held)
    with pytest.raises(LaggardsError, match=f"{ORDERS}: its certificate is of before"):
        rotating.advance(held)


def test_beginning_again_changes_nothing(ca: Ca) -> None:
    """No key, no certificate, no step."""
    rotating = Rotating(ca, What.ROOT)
    rotating.begin()
    files = sorted(ca.layout.directory.iterdir())
    assert not rotating.begin().changed
    assert sorted(ca.layout.directory.iterdir()) == files


def test_one_rotation_at_a_time(ca: Ca) -> None:
    """Another kind waits until it is over."""
    Rotating(ca, What.ISSUING).begin()
    with pytest.raises(rotation.OtherRotationError, match="issuing is prepared"):
        Rotating(ca, What.ROOT).begin()
    with pytest.raises(rotation.OtherRotationError):
        rotation.would_begin(ca.layout, What.ROOT, run_id="run", now=clock.utc_now())


def test_one_follows_another(ca: Ca) -> None:
    """A second issuing CA, then a root with a third: all certify as they should."""
    for what in (What.ISSUING, What.ROOT, What.ISSUING):
        Rotating(ca, what).to(Phase.DONE)
    standing = authority.look(ca.layout)
    standing.issuing.verify_directly_issued_by(standing.root)
    assert len(ca.layout.later_keys("issuing")) == 3
    ca.issue((ORDERS, csr()))
    assert inspect(ca.layout, policy()).missing == ()


@pytest.mark.parametrize("verb", ["advance", "reverse"])
def test_nothing_moves_without_a_rotation(ca: Ca, verb: str) -> None:
    """There is no phase to go on or back from."""
    with pytest.raises(rotation.NoRotationError):
        getattr(Rotating(ca, What.ROOT), verb)()


@pytest.mark.parametrize("what", What)
def test_a_rotation_is_reversed_to_where_it_came_from(ca: Ca, what: What) -> None:
    """Phase by phase from draining, and everything is as before."""
    before = authority.look(ca.layout)
    rotating = Rotating(ca, what).to(Phase.DRAINING)
    phases = []
    while rotating.phase:
        rotating.reverse()
        phases.append(rotating.phase)
    assert phases == [*reversed(PHASES[:3]), None]
    after = rotating.standing
    assert (after.roots, after.chain) == (before.roots, before.chain)
    assert after.issued_after is None
    assert inspect(ca.layout, policy()).missing == ()


def test_there_is_no_way_back_from_distrust(ca: Ca) -> None:
    """The old issuing CA is revoked by then."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRUSTING)
    with pytest.raises(rotation.IrreversibleError):
        rotating.reverse()
    assert rotating.phase is Phase.DISTRUSTING


@pytest.mark.parametrize("what", [What.ISSUING, What.ROOT])
def test_distrust_revokes_what_leads_to_the_old(ca: Ca, what: What) -> None:
    """The issuing CA by its root; the old root's cross certificate by the new one."""
    old = authority.look(ca.layout)
    rotating = Rotating(ca, what).to(Phase.DRAINING)
    with open_ledger(ca.layout.ledger) as ledger:
        assert not is_revoked(ledger, old.issuing)
    rotating.advance()
    with open_ledger(ca.layout.ledger) as ledger:
        assert is_revoked(ledger, old.issuing)
        listed = {
            revocation.serial
            for root in {authority_of(old.root), authority_of(rotating.standing.root)}
            for revocation in ledger.revocations(root, ending=clock.utc_now())
        }
    assert old.issuing.serial_number in listed
    assert len(listed) == (2 if what is What.ROOT else 1)


def test_distrust_takes_the_keys_of_roots(ca: Ca) -> None:
    """Without them nothing happens."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DRAINING)
    proof = Proof([one.evidence for one in rotating.everyone()])
    with pytest.raises(AuthorityCertificateError, match="root-passphrase-fd"):
        rotation.advance(ca.layout, proof, keyring=ca.keyring(), run_id="run")
    assert rotating.phase is Phase.DRAINING


BAD = {
    "its live port does not": lambda one: replace_(one, live=False),
    "it trusts other roots": lambda one: replace_(one, roots=["00" * 32]),
    "it trusts other roots ": lambda one: replace_(one, roots=[]),
    "the ledger has no such certificate": lambda one: replace_(one, serial="4711"),
    "it is certified by aa": lambda one: replace_(one, issuer="aa"),
}


def replace_(one: Evidence, **changes: object) -> Evidence:
    """Return evidence with something else in it."""
    stated = {name: getattr(one, name) for name in one.__struct_fields__}
    return Evidence(**{**stated, **changes})


@pytest.mark.parametrize("wrong", BAD)
def test_a_laggard_is_named_with_what_is_wrong(ca: Ca, wrong: str) -> None:
    """And the phase does not begin."""
    rotating = Rotating(ca, What.ROOT).to(Phase.DISTRIBUTING)

    def spoilt(one: Evidence) -> Evidence:
        return BAD[wrong](one) if one.identity == STOCK else one

    with pytest.raises(LaggardsError, match=f"for 1: {STOCK}: {wrong.strip()}") as said:
        rotating.advance(evidence=spoilt)
    (laggard,) = said.value.laggards
    assert laggard["identity"] == STOCK
    assert len(laggard["wrong"]) == 1
    assert rotating.phase is Phase.DISTRIBUTING


def test_who_shows_nothing_is_a_laggard(ca: Ca) -> None:
    """The identities are those of the policy, not those that answered."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRIBUTING)
    with pytest.raises(LaggardsError, match=f"{STOCK}: no evidence"):
        rotating.advance(rotating.hold(ORDERS))


def test_who_shows_anothers_certificate_is_a_laggard(ca: Ca) -> None:
    """It is in the ledger, as somebody else's."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRIBUTING)
    orders, stock = rotating.everyone()
    swapped = [replace(orders, chain=stock.chain), stock]
    with pytest.raises(LaggardsError, match=f"{ORDERS}: the ledger has no such"):
        rotating.advance(swapped)


def test_who_shows_the_old_issuer_is_a_laggard(ca: Ca) -> None:
    """The ledger says who signed, whatever the host says."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRIBUTING)
    held = rotating.everyone()
    rotating.advance(held)
    new = authority_of(rotating.standing.issuing)
    with pytest.raises(LaggardsError, match="not by"):
        rotating.advance(held, evidence=lambda one: replace_(one, issuer=new))


def test_who_shows_what_is_revoked_is_a_laggard(ca: Ca) -> None:
    """Nobody would let it in."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRIBUTING)
    held = rotating.everyone()
    ca.revoke(STOCK)
    with pytest.raises(LaggardsError, match=f"{STOCK}: its certificate is revoked"):
        rotating.advance(held)


def test_who_shows_what_has_ended_is_a_laggard(ca: Ca) -> None:
    """The same."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRIBUTING)
    held = rotating.everyone()
    rotating.now = lambda: clock.utc_now() + timedelta(days=2)
    with pytest.raises(LaggardsError, match=f"{STOCK}: its certificate ended at"):
        rotating.advance(held)


def test_a_waiver_is_written_down(ca: Ca) -> None:
    """Only one that was needed; and it holds for this phase alone."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRIBUTING)
    waiver = Waiver(STOCK, "in the workshop")
    idle = Waiver(ORDERS, "to be safe")
    moved = rotating.advance(rotating.hold(ORDERS), waivers=[waiver, idle])
    assert moved.after.steps[-1].waivers == (waiver,)
    with pytest.raises(LaggardsError, match=STOCK):
        rotating.advance(rotating.hold(ORDERS))


@pytest.mark.parametrize(
    "waiver", [Waiver("billing@localhost", "unknown here"), Waiver(STOCK, " ")]
)
def test_a_waiver_for_nobody_or_nothing_is_refused(ca: Ca, waiver: Waiver) -> None:
    """A name mistyped waives nothing; a waiver without a reason is an oversight."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRIBUTING)
    with pytest.raises(UnknownWaiverError):
        rotating.advance(waivers=[waiver])


def test_a_policy_that_permits_more_waits_for_another_certificate(ca: Ca) -> None:
    """The new issuing CA must be able to sign what the present one does."""
    rotating = Rotating(ca, What.ISSUING)
    rotating.begin()
    document = policy_document()
    document["permitted_dns"].append("other.internal")
    ca.complete(document)
    with pytest.raises(UnpreparedError, match="begin again"):
        rotating.advance()
    rotating.begin()
    rotating.advance()
    assert rotating.phase is Phase.DISTRIBUTING


def test_a_revoked_successor_does_not_take_over(ca: Ca) -> None:
    """Its key may be in other hands."""
    rotating = Rotating(ca, What.ISSUING).to(Phase.DISTRIBUTING)
    with open_ledger(ca.layout.ledger) as ledger:
        serial = ledger.newest_issued("issuing")
    assert serial
    ca.revoke(serial=int(serial.serial, 16), root_passphrase=ROOT_PASSPHRASE)
    with pytest.raises(UnpreparedError, match="revoked"):
        rotating.advance()
    assert ca.issue((ORDERS, csr())).answers[0].verdict is Verdict.ISSUED


@pytest.mark.parametrize("purpose", ["root", "issuing"])
def test_a_wrong_passphrase_begins_nothing(ca: Ca, purpose: str) -> None:
    """A new key under a mistyped one could never be opened again."""
    right = {"root": ROOT_PASSPHRASE, "issuing": ISSUING_PASSPHRASE}
    wrong = {**right, purpose: b"another passphrase"}
    keyring = Keyring(
        ca.layout, root=lambda: wrong["root"], issuing=lambda: wrong["issuing"]
    )
    with pytest.raises(WrongPassphraseError):
        rotation.begin(ca.layout, What.ROOT, keyring=keyring, run_id="run", cost=CHEAP)
    assert Rotating(ca, What.ROOT).phase is None


def test_the_first_keys_may_be_taken_away(ca: Ca) -> None:
    """When nothing lives any more that they signed."""
    Rotating(ca, What.ROOT).to(Phase.DONE)
    for purpose in ("root", "issuing"):
        (ca.layout.directory / f"{purpose}.key.sealed").unlink()
    assert inspect(ca.layout, policy()).missing == ()
    ca.complete()
    assert ca.issue((ORDERS, csr())).answers[0].verdict is Verdict.ISSUED


def test_a_wider_policy_after_a_rotation_certifies_the_present_key(ca: Ca) -> None:
    """Under the present root, which is not the first one."""
    rotating = Rotating(ca, What.ROOT).to(Phase.DONE)
    before = rotating.standing
    document = policy_document()
    document["permitted_dns"].append("other.internal")
    ca.complete(document)
    after = rotating.standing
    assert after.issuing.public_key() == before.issuing.public_key()
    assert after.issuing != before.issuing
    after.issuing.verify_directly_issued_by(before.root)
    assert ca.certificate("issuing") == after.issuing


def test_a_key_of_any_generation_is_not_certified_for_a_service(ca: Ca) -> None:
    """The CA's earlier and coming keys are its own."""
    rotating = Rotating(ca, What.ROOT)
    rotating.begin()
    new = rotating.standing.steps[-1].after
    for purpose, known in (("root", new.root), ("issuing", new.issuing)):
        key = ca.keyring(ROOT_PASSPHRASE).open_file(purpose, known)
        (answer,) = authority.preview(
            ca.layout, [Request(ORDERS, csr(key))], run_id="run", now=clock.utc_now()
        ).answers
        assert answer.refusal
        assert answer.refusal.code == AuthorityKeyError.code
