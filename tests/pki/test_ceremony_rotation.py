"""Rotations under an offline root: two ceremonies each, and no key moves."""

import itertools
import json
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki import clock, profiles
from pki.ceremony import checking, hall, result, rite
from pki.ceremony.root_keys import People, RootMissingError
from pki.envelope import WrongPassphraseError
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.pointers import authority_of
from pki.present import is_revoked
from pki.rotation_steps import Phase, What
from pki.successors import CeremonyNeededError, UnpreparedError
from tests.pki.builders import Ca, Forge
from tests.pki.ceremonies import MAKE_ROOT, NOBODY, SECOND, UPDATE_ROOT, Two
from tests.pki.command import pki
from tests.pki.rotating import PHASES, Rotating


def test_issuing_ca_is_rotated_under_an_offline_root(under: Two) -> None:
    """The rotation waits for what the root must sign, and goes on once it is there."""
    ca = Ca(under.online)
    old = ca.certificate("issuing")
    rotating = Rotating(ca, What.ISSUING)
    for _ in range(2):
        with pytest.raises(CeremonyNeededError, match=r"issuing-[0-9a-f]{40}\.request"):
            rotating.begin()
    (request,) = under.online.directory.glob("issuing-*.request.json")
    held = under.hold("next-issuing", under.carried(request))
    assert under.take(held).certificates == ("issuing",)
    assert ca.certificate("issuing") == old
    assert rotating.begin().after.steps[-1].phase is Phase.PREPARED
    while rotating.phase is not Phase.DRAINING:
        rotating.advance()
    new = ca.certificate("issuing")
    assert new == held.result.certificates[0]
    serial = f"{old.serial_number:x}"
    with pytest.raises(CeremonyNeededError, match=serial):
        rotating.advance()
    step = {"type": "revoke", "serial": serial, "reason": "superseded"}
    assert under.take(under.hold("old-issuing", step)).revoked == (serial,)
    assert rotating.advance().after.steps[-1].phase is Phase.DISTRUSTING
    assert rotating.advance().after.steps[-1].phase is Phase.DONE
    with open_ledger(under.online.ledger) as ledger:
        ledger.verify()
        assert is_revoked(ledger, old)
        assert not is_revoked(ledger, new)
    ca.one("stock@localhost").verify_directly_issued_by(new)


@dataclass
class Succession:
    """A rotation of an offline root, and the ceremonies that it takes."""

    two: Two
    rotating: Rotating
    old: x509.Certificate

    @classmethod
    def of(cls, under: Two) -> "Succession":
        """Return one in which nothing was done yet."""
        ca = Ca(under.online)
        return cls(under, Rotating(ca, What.ROOT), ca.certificate("root"))

    def ask(self) -> dict[str, str]:
        """Have it begin, and wait for a ceremony; return the step for its request."""
        with pytest.raises(CeremonyNeededError, match="the next one made"):
            self.rotating.begin()
        return self.two.carried(self.request())

    def request(self) -> Path:
        """Return where the request for the new issuing key lies."""
        step = self.rotating.standing.rotation
        assert step
        name = f"issuing-{step.after.issuing}.request.json"
        return self.two.online.directory / name

    def held(self, name: str = "second-root") -> hall.Outcome:
        """Hold the ceremony that makes the next root."""
        return self.two.hold(name, UPDATE_ROOT, self.ask())

    def prepared(self) -> hall.Outcome:
        """Bring it to the first phase."""
        held = self.held()
        self.two.take(held)
        assert self.rotating.begin().after.steps[-1].phase is Phase.PREPARED
        return held

    def draining(self) -> hall.Outcome:
        """Bring it to the phase after which the root has to sign once more."""
        held = self.prepared()
        while self.rotating.phase is not Phase.DRAINING:
            self.rotating.advance()
        return held


@pytest.fixture
def succession(under: Two) -> Succession:
    """Return a CA under an offline root that is to be replaced."""
    return Succession.of(under)


def test_offline_root_is_rotated_by_two_ceremonies(succession: Succession) -> None:
    """One makes it and what it certifies, one takes the old back: no key moves."""
    two, rotating, old = succession.two, succession.rotating, succession.old
    held = succession.held()
    new = held.result.root
    taken = two.take(held)
    assert taken.certificates == ("root", "cross", "cross", "issuing")
    assert taken.follows
    assert taken.listed
    assert rotating.standing.roots == (old,)
    seen = [rotating.begin().after.steps[-1].phase]
    trusted = [rotating.standing.roots]
    while rotating.phase is not Phase.DRAINING:
        seen.append(rotating.advance().after.steps[-1].phase)
        trusted.append(rotating.standing.roots)
    assert trusted == [(old,), (old, new), (old, new), (old, new)]
    with pytest.raises(CeremonyNeededError) as refusal:
        rotating.advance()
    serials = re.findall(r"[0-9a-f]{30,}", str(refusal.value))
    assert len(serials) == 2
    steps = [
        {"type": "revoke", "serial": serial, "reason": "superseded"}
        for serial in serials
    ]
    assert sorted(two.take(two.hold("old-root", *steps)).revoked) == sorted(serials)
    while rotating.phase:
        seen.append(rotating.advance().after.steps[-1].phase)
    assert tuple(seen) == PHASES
    assert rotating.standing.roots == (new,)
    assert not list(two.online.directory.glob("root*.key.sealed"))
    for place in (two.online, two.offline):
        with open_ledger(place.ledger) as ledger:
            ledger.verify()


def test_old_and_new_root_vouch_for_each_other(succession: Succession) -> None:
    """Whoever trusts one of them alone accepts what hosts present meanwhile."""
    held = succession.draining()
    (orders, *_) = succession.rotating.everyone()
    with_old, with_new, issuing = held.result.certificates
    leaf = orders.chain[0]
    assert orders.chain == (leaf, issuing, with_old)
    for root in (succession.old, held.result.root):
        path = (leaf, issuing, *([with_old] if root == succession.old else []), root)
        for one, by in itertools.pairwise(path):
            one.verify_directly_issued_by(by)
    with_new.verify_directly_issued_by(held.result.root)
    assert with_new.public_key() == succession.old.public_key()


def test_both_roots_sign_the_transcript(succession: Succession) -> None:
    """So whoever knows the old one knows that the new one follows it."""
    held = succession.held()
    document = json.loads(held.path.read_bytes())
    (other,) = document["others"]
    assert held.result.others[0].root == succession.old
    other["signature"] = document["signature"]
    with pytest.raises(result.TamperedTranscriptError):
        result.read_result(json.dumps(document).encode())


def test_list_of_the_old_root_is_in_the_transcript(succession: Succession) -> None:
    """Another one in its place is found."""
    held = succession.held()
    document = json.loads(held.path.read_bytes())
    document["others"][0]["crl"] = document["crl"]
    with pytest.raises(result.ForeignOutputError):
        result.read_result(json.dumps(document).encode())


@pytest.mark.parametrize("at", ["_cross", "_certify", "conclude"])
def test_making_of_the_next_root_that_was_cut_off_is_completed(
    succession: Succession, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    """By the same key; what was certified is not certified again, and both sign."""
    two, steps = succession.two, (UPDATE_ROOT, succession.ask())
    with monkeypatch.context() as patch:
        patch.setattr(rite.Rite, at, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            two.hold("second-root", *steps)
    (key,) = two.offline.later_keys("root")
    completed = two.hold("second-root", *steps)
    assert two.offline.later_keys("root") == [key]
    assert [one.root for one in completed.result.others] == [succession.old]
    with open_ledger(two.offline.ledger) as ledger:
        assert ledger.verify().issued == 2 + 4
    assert two.take(completed).follows


def test_a_root_key_that_was_left_is_taken(
    succession: Succession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that stopped before its certificate makes no second one."""
    two, steps = succession.two, (UPDATE_ROOT, succession.ask())
    with monkeypatch.context() as patch:
        patch.setattr(rite.Rite, "_certify_itself", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            two.hold("second-root", *steps)
    (key,) = two.offline.later_keys("root")
    held = two.hold("second-root", *steps)
    assert authority_of(held.result.root) == key


def test_same_plan_for_the_next_root_again_verifies(succession: Succession) -> None:
    """Nobody is asked; and what earlier plans left still verifies."""
    succession.prepared()
    steps = (UPDATE_ROOT, succession.two.carried(succession.request()))
    again = succession.two.hold("second-root", *steps, people=NOBODY)
    assert not again.changed


def test_next_root_is_not_taken_unless_a_rotation_waits(under: Two) -> None:
    """An import alone changes nobody's root."""
    held = under.hold("second-root", UPDATE_ROOT, under.ask())
    with pytest.raises(checking.NotForUsError, match="a rotation of the root"):
        under.take(held)


def test_root_that_ours_does_not_vouch_for_is_not_taken(
    succession: Succession, tmp_path: Path
) -> None:
    """A rotation that waits takes no root of another offline machine."""
    two = succession.two
    other = Two(two.online, Layout(tmp_path / "elsewhere"), two.desk)
    held = other.hold("another", MAKE_ROOT, succession.ask())
    with pytest.raises(checking.NotForUsError, match="does not vouch"):
        other.take(held)


def test_root_of_the_same_serial_is_another(
    under: Two, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and serial are what anybody can copy: the certificate counts."""
    ours = Ca(under.online).certificate("root")
    other = Two(under.online, Layout(tmp_path / "elsewhere"), under.desk)
    monkeypatch.setattr(profiles, "_new_serial", lambda: ours.serial_number)
    held = other.hold("another", MAKE_ROOT)
    assert held.result.root.serial_number == ours.serial_number
    with pytest.raises(checking.NotForUsError, match="another root"):
        other.take(held)


def test_next_root_comes_with_what_it_certifies(succession: Succession) -> None:
    """One that does not know the new issuing key is not what the rotation waits for."""
    succession.ask()
    held = succession.two.hold("second-root", UPDATE_ROOT)
    with pytest.raises(checking.NotForUsError, match="new issuing key"):
        succession.two.take(held)


def test_a_list_of_a_root_that_was_given_up_begins_nothing(
    succession: Succession,
) -> None:
    """The rotation after it waits on for a root that certifies its new key."""
    two, rotating = succession.two, succession.rotating
    succession.prepared()
    rotating.reverse()
    succession.ask()
    assert not two.take(two.hold("new-list", {"type": "list"})).follows
    with pytest.raises(CeremonyNeededError, match="the next one made"):
        rotating.begin()


def test_rotation_that_was_given_up_leaves_the_old_root(succession: Succession) -> None:
    """Its plans name the old root from then on; a later rotation has another root."""
    two, rotating = succession.two, succession.rotating
    abandoned = succession.prepared().result.root
    rotating.reverse()
    assert rotating.phase is None
    listed = two.hold("new-list", {"type": "list"}, root=succession.old)
    assert listed.result.root == succession.old
    assert two.take(listed).listed
    again = two.hold("third-root", UPDATE_ROOT, succession.ask(), root=succession.old)
    assert again.result.root != abandoned
    assert two.take(again).follows
    assert rotating.begin().after.steps[-1].phase is Phase.PREPARED
    assert rotating.advance().after.roots == (succession.old, again.result.root)


def test_lists_of_both_roots_are_renewed(succession: Succession) -> None:
    """While both are trusted; a CA that knows both takes both."""
    succession.draining()
    two = succession.two
    before = two.listed()
    taken = two.take(two.hold("new-list", {"type": "list"}))
    assert taken.listed
    after = two.listed()
    assert before.keys() == after.keys()
    assert all(after[authority] > number for authority, number in before.items())


def test_wrong_people_make_no_next_root(succession: Succession) -> None:
    """Who cannot open the old key seals no new one."""
    people = People(first=lambda: b"somebody else's passphrase", second=lambda: SECOND)
    step = succession.ask()
    with pytest.raises(WrongPassphraseError):
        succession.two.hold("second-root", UPDATE_ROOT, step, people=people)
    assert not succession.two.offline.later_keys("root")


def test_plan_names_a_root_that_is_here(under: Two, forge: Forge) -> None:
    """Another one acts for nobody."""
    with pytest.raises(RootMissingError, match="the plan names"):
        under.hold("new-list", {"type": "list"}, root=forge.root)


def test_certificate_between_roots_that_has_ended_stops_the_rotation(
    succession: Succession,
) -> None:
    """Before anybody is switched to what few would accept."""
    two, rotating = succession.two, succession.rotating
    short = UPDATE_ROOT | {"old_with_new": 86_400}
    two.take(two.hold("second-root", short, succession.ask()))
    rotating.begin()
    rotating.now = lambda: clock.utc_now() + timedelta(days=2)
    with pytest.raises(UnpreparedError, match="from root to root"):
        rotating.advance()


def test_rotation_that_waits_can_be_given_up(succession: Succession) -> None:
    """Nothing waits for the root any more, and it is not taken."""
    held = succession.held()
    succession.rotating.reverse()
    assert succession.rotating.phase is None
    with pytest.raises(checking.NotForUsError, match="a rotation of the root"):
        succession.two.take(held)
    assert succession.rotating.standing.roots == (succession.old,)


def test_the_command_reads_all_of_it_aloud(succession: Succession) -> None:
    """New root, old root, what each gave the other, the issuing CA, and both lists."""
    held = succession.held()
    done = pki("ceremony", "verify", document=held.path.read_text())
    said = done.answer["read_aloud"]
    kinds = [re.sub(r" [0-9a-f]{30,}", "", name) for name in said]
    assert kinds == [
        *("plan", "root", "cross certificate", "cross certificate", "issuing CA"),
        *("list", "other root 1", "list of other root 1"),
    ]
    old = result.fingerprint(succession.old)
    assert said["other root 1"].replace(" ", "") == old
