"""A root on an offline machine, and the CA under it: two people and a plan."""

import hashlib
import json
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki import clock, envelope, founding, shared_key
from pki.authority import issue
from pki.ceremony import asking, checking, hall, result, rite
from pki.ceremony.plan import PlanError, read_plan
from pki.ceremony.request import CeremonyRequestError
from pki.ceremony.rite import RootExistsError
from pki.ceremony.root_keys import CeremonyError, People, RootMissingError
from pki.decision import Request, RevokedIssuerError
from pki.layout import Layout
from pki.ledger import open_ledger
from pki.revocation_list import OlderListError
from tests.pki.builders import (
    CHEAP,
    ISSUING_PASSPHRASE,
    Ca,
    Forge,
    csr,
    number,
    policy,
    policy_document,
    serials,
)
from tests.pki.ceremonies import (
    FIRST,
    MAKE_ROOT,
    NOBODY,
    SECOND,
    UPDATE_ROOT,
    YEAR,
    Two,
    no_passphrase,
    plan_text,
)
from tests.pki.command import pki


def test_ca_under_an_offline_root_issues(under: Two, held: hall.Outcome) -> None:
    """Founded by a ceremony it is whole: `init` lacks nothing, and it certifies."""
    before, after = founding.found(
        under.online,
        policy(),
        passphrases=founding.Passphrases(root=no_passphrase, issuing=no_passphrase),
        run_id="init",
        cost=CHEAP,
    )
    assert before.missing == ()
    assert before == after
    leaf = Ca(under.online).one()
    leaf.verify_directly_issued_by(held.result.certificates[0])
    held.result.certificates[0].verify_directly_issued_by(held.result.root)
    assert serials(Ca(under.online).crl(by="root")) == set()


def test_each_key_is_on_its_own_machine(under: Two) -> None:
    """The root's is on the offline one alone, the issuing key on the other alone."""
    assert not under.online.sealed_key("root").exists()
    assert not under.offline.sealed_key("issuing").exists()
    sealed = under.offline.sealed_key("root").read_bytes()
    opened = shared_key.unseal(sealed, FIRST, SECOND, purpose="root")
    for path in under.online.directory.iterdir():
        assert sealed not in path.read_bytes()
    assert opened.public_key() == Ca(under.online).certificate("root").public_key()


def test_same_plan_again_verifies_and_changes_nothing(
    two: Two, held: hall.Outcome
) -> None:
    """No passphrase is asked for, no byte changes, and the answer is the same."""
    files = {path: path.read_bytes() for path in two.offline.directory.iterdir()}
    again = two.hold("first-root", MAKE_ROOT, two.ask(), people=NOBODY)
    assert not again.changed
    assert again.result == held.result
    assert files == {
        path: path.read_bytes() for path in two.offline.directory.iterdir()
    }
    assert two.take(held).changed
    assert not two.take(held).changed


@pytest.mark.parametrize(
    ("at", "entries"), [("_sign", 0), ("_certify", 2), ("conclude", 4)]
)
def test_ceremony_that_was_cut_off_is_completed(
    two: Two, monkeypatch: pytest.MonkeyPatch, at: str, entries: int
) -> None:
    """What was certified before the machine stopped is not certified again."""
    steps = (MAKE_ROOT, two.ask())
    with monkeypatch.context() as patch:
        patch.setattr(rite.Rite, at, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            two.hold("first-root", *steps)
    key = two.offline.sealed_key("root").read_bytes()
    with open_ledger(two.offline.ledger) as ledger:
        assert len(list(ledger.entries())) == entries
    completed = two.hold("first-root", *steps)
    assert two.offline.sealed_key("root").read_bytes() == key
    with open_ledger(two.offline.ledger) as ledger:
        assert ledger.verify().issued == 2
    assert two.take(completed).certificates == ("root", "issuing")


def test_transcript_tells_it_all(held: hall.Outcome) -> None:
    """Plan, people, machine, each step with time and digests: signed by the root."""
    told = held.result.transcript
    root, issuing = held.result.root, held.result.certificates[0]
    assert told.people == ["Ada Lang", "Ben Stern"]
    assert told.plan["name"] == "first-root"
    assert set(told.machine) == {
        *("system", "python", "openssl", "cryptography", "certbound"),
    }
    made, certified = told.steps
    assert made["root"] == result.fingerprint(root)
    assert certified["certificate"] == result.fingerprint(issuing)
    assert certified["sha256"] == told.plan["steps"][1]["sha256"]
    assert all(clock.from_text(step["time"]) for step in told.steps)


def changed(held: hall.Outcome, change: Callable[[dict[str, Any]], None]) -> bytes:
    """Return the result's document with something changed."""
    document = json.loads(held.path.read_bytes())
    change(document)
    return json.dumps(document).encode()


def test_tampered_transcript_is_found(two: Two, held: hall.Outcome) -> None:
    """One word of it, and the offline machine and the CA's host both refuse."""

    def change(document: dict[str, Any]) -> None:
        document["transcript"] = document["transcript"].replace("Ada", "Eve")

    forged = changed(held, change)
    with pytest.raises(result.TamperedTranscriptError):
        result.read_result(forged)
    held.path.write_bytes(forged)
    with pytest.raises(result.TamperedTranscriptError):
        two.hold("first-root", MAKE_ROOT, two.ask(), people=NOBODY)
    with pytest.raises(result.TamperedTranscriptError):
        two.take(held)


def test_swapped_certificate_is_found(two: Two, held: hall.Outcome) -> None:
    """A true transcript does not vouch for another certificate of the same root."""
    other = two.hold(
        "again",
        two.ask(
            policy_document(["orders"])
            | {"permitted_dns": ["shop.internal", "localhost", "example.internal"]}
        ),
    )
    foreign = json.loads(other.path.read_bytes())["certificates"]
    forged = changed(held, lambda document: document.update(certificates=foreign))
    with pytest.raises(result.ForeignOutputError):
        result.read_result(forged)


def test_other_documents_are_refused(held: hall.Outcome, forge: Forge) -> None:
    """What is no result says so, and what some root has signed is no transcript yet."""
    with pytest.raises(result.ResultError, match="not the result"):
        result.read_result(b"{}")
    signature = forge.root_key.sign(b"[]", ec.ECDSA(hashes.SHA256()))
    signed = {
        "transcript": "[]",
        "signature": b64encode(signature).decode(),
        "root": forge.root.public_bytes(Encoding.PEM).decode(),
    }
    with pytest.raises(result.ResultError, match="not the transcript"):
        result.read_result(changed(held, lambda document: document.update(signed)))


@pytest.mark.parametrize(
    ("first", "second", "whose"),
    [(b"a wrong one of the first", SECOND, "first"), (FIRST, b"a wrong one", "second")],
)
def test_wrong_passphrase_holds_no_ceremony(
    under: Two, first: bytes, second: bytes, whose: str
) -> None:
    """Both are needed for the least of it, and nothing is written."""
    people = People(first=lambda: first, second=lambda: second)
    with pytest.raises(envelope.WrongPassphraseError, match=f"{whose} person"):
        under.hold("new-list", {"type": "list"}, people=people)
    assert not (under.offline.directory / "new-list.result.json").exists()


def test_one_passphrase_for_both_makes_no_root(two: Two) -> None:
    """Two people are two passphrases."""
    people = People(first=lambda: FIRST, second=lambda: FIRST)
    with pytest.raises(shared_key.SamePassphraseError):
        two.hold("first-root", MAKE_ROOT, people=people)
    assert not two.offline.sealed_key("root").exists()


def test_root_that_was_not_read_aloud_is_not_taken(
    two: Two, held: hall.Outcome
) -> None:
    """The fingerprint is said by a person, and read in groups or with colons."""
    with pytest.raises(checking.FingerprintError):
        two.take(held, root="00" * 32)
    assert not two.online.certificate("root").exists()
    aloud = result.grouped(result.fingerprint(held.result.root)).upper()
    assert two.take(held, root=aloud).changed


def test_list_is_renewed_for_another_year(under: Two, held: hall.Outcome) -> None:
    """A plan of one step makes it; the CA's host takes the newer one, not the older."""
    later = clock.utc_now() + timedelta(seconds=5)
    renewed = under.hold("new-list", {"type": "list"}, now=lambda: later)
    before = number(Ca(under.online).crl(by="root"))
    taken = under.take(renewed)
    assert (taken.certificates, taken.listed) == ((), True)
    assert number(Ca(under.online).crl(by="root")) > before
    with pytest.raises(OlderListError):
        under.take(held)


def test_more_domains_are_certified(under: Two) -> None:
    """A second certificate for the same key comes the way the first did."""
    wider = policy_document() | {"permitted_dns": ["shop.internal", "localhost", "eu"]}
    again = under.hold("wider", under.ask(wider))
    assert under.take(again).certificates == ("issuing",)
    before, _ = founding.found(
        under.online,
        policy(wider),
        passphrases=founding.Passphrases(root=no_passphrase, issuing=no_passphrase),
        run_id="init",
        cost=CHEAP,
    )
    assert before.missing == ()


def test_issuing_ca_is_taken_back(under: Two, held: hall.Outcome) -> None:
    """The root's list says so, and the CA that has taken it certifies nobody more."""
    issuing = held.result.certificates[0]
    step = {
        "type": "revoke",
        "serial": f"{issuing.serial_number:x}",
        "reason": "cACompromise",
    }
    revoked = under.hold("taken-back", step)
    crl = x509.load_der_x509_crl(revoked.result.crl)
    assert serials(crl) == {issuing.serial_number}
    assert under.take(revoked).revoked == (step["serial"],)
    (answer,) = issue(
        under.online,
        [Request("orders@localhost", csr())],
        keyring=Ca(under.online).keyring(),
        run_id="issuing",
    ).answers
    assert isinstance(answer.refusal, RevokedIssuerError)


def test_unknown_serial_is_not_revoked(under: Two) -> None:
    """The root takes back what it gave."""
    step = {"type": "revoke", "serial": "1a2b", "reason": "superseded"}
    with pytest.raises(CeremonyError, match="a CA of serial 1a2b"):
        under.hold("taken-back", step)


def test_request_that_was_not_agreed_on_is_refused(two: Two) -> None:
    """The plan names it by its digest."""
    step = two.ask()
    file = two.desk / step["request"]
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(hall.RequestChangedError, match=step["sha256"]):
        two.hold("first-root", MAKE_ROOT, step)


def test_request_for_a_key_that_is_not_held_is_refused(two: Two) -> None:
    """Its signature must be that of the key it is for (RFC 2986, section 4.2)."""
    step = two.ask()
    file = two.desk / step["request"]
    document = json.loads(file.read_text())
    lines = document["csr"].splitlines()
    lines[-2] = lines[-2][:4] + ("A" if lines[-2][4] != "A" else "B") + lines[-2][5:]
    document["csr"] = "\n".join(lines)
    file.write_text(json.dumps(document))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(CeremonyRequestError, match="key is held"):
        two.hold("first-root", MAKE_ROOT, step | {"sha256": digest})


def test_same_request_is_made_once(two: Two) -> None:
    """Asked again it is the same file; another life is another request."""
    first = two.ask()
    assert two.ask() == first
    longer = policy_document() | {
        "lifetimes": {"root": 10 * YEAR, "issuing_ca": 2 * YEAR}
    }
    assert two.ask(longer)["sha256"] != first["sha256"]


def test_ca_with_its_root_key_asks_nobody(ca: Ca) -> None:
    """A ceremony is for a root that is elsewhere."""
    with pytest.raises(asking.RootOnlineError):
        asking.ask(ca.layout, policy(), passphrase=no_passphrase)


def test_result_for_another_ca_is_not_taken(
    two: Two, held: hall.Outcome, tmp_path: Path
) -> None:
    """A key that was not certified gets no certificate of it."""
    other = Two(Layout(tmp_path / "other"), two.offline, two.desk)
    other.ask()
    with pytest.raises(checking.NotForUsError, match="issuing key here"):
        other.take(held)


def test_second_root_is_not_taken(under: Two, tmp_path: Path) -> None:
    """A CA changes its root by a rotation, not by an import."""
    other = Two(under.online, Layout(tmp_path / "elsewhere"), under.desk)
    with pytest.raises(checking.NotForUsError, match="rotation"):
        other.take(other.hold("another", MAKE_ROOT, under.ask()))


def test_root_of_another_trust_domain_is_not_taken(two: Two) -> None:
    """The policy says which one is ours."""
    step = two.ask()
    held = two.hold("first-root", MAKE_ROOT, step)
    two.online.policy.write_bytes(
        policy(policy_document([]) | {"trust_domain": "example.internal"}).text
    )
    with pytest.raises(checking.NotForUsError, match=r"example\.internal"):
        two.take(held)


def test_root_is_of_the_plans_trust_domain(under: Two) -> None:
    """A root certifies nobody of another trust domain."""
    foreign = plan_text("new-list", {"type": "list"}, trust_domain="example.internal")
    with pytest.raises(CeremonyError, match=r"not one of example\.internal"):
        hall.perform(
            under.offline, read_plan(foreign), beside=under.desk, people=NOBODY
        )


def test_lost_root_key_is_said(under: Two) -> None:
    """No other is made in its place."""
    under.offline.sealed_key("root").unlink()
    with pytest.raises(RootMissingError, match="put it back"):
        under.hold("new-list", {"type": "list"})


def test_root_is_made_once(under: Two) -> None:
    """Another plan does not make another one there."""
    with pytest.raises(RootExistsError):
        under.hold("again", MAKE_ROOT)


def test_without_a_root_nothing_is_certified(two: Two) -> None:
    """A plan that makes none needs one."""
    with pytest.raises(RootMissingError):
        two.hold("first-root", two.ask())


def test_name_of_another_plan_is_refused(two: Two, held: hall.Outcome) -> None:
    """A plan that was changed afterwards does not pass as the one that was held."""
    with pytest.raises(hall.PlanChangedError):
        two.hold("first-root", MAKE_ROOT)


def test_lint_stands_before_the_roots_signature(two: Two) -> None:
    """An issuing CA that would outlive its root is cut to the root's end."""
    held = two.hold("first-root", MAKE_ROOT | {"lifetime": YEAR // 4}, two.ask())
    (issuing,) = held.result.certificates
    assert issuing.not_valid_after_utc == held.result.root.not_valid_after_utc


def test_openssl_verifies_the_transcript(held: hall.Outcome, tmp_path: Path) -> None:
    """Whoever has the root's certificate needs no program of ours for it."""
    document = json.loads(held.path.read_bytes())
    root = tmp_path / "root.pem"
    root.write_text(document["root"])
    (tmp_path / "transcript").write_text(document["transcript"])
    (tmp_path / "signature").write_bytes(b64decode(document["signature"]))
    public = subprocess.run(
        ["openssl", "x509", "-in", root, "-noout", "-pubkey"],
        check=True,
        capture_output=True,
    )
    (tmp_path / "key").write_bytes(public.stdout)
    command = ["openssl", "dgst", "-sha256", "-verify", "key"]
    done = subprocess.run(
        [*command, "-signature", "signature", "transcript"], cwd=tmp_path, check=False
    )
    assert done.returncode == 0


def test_commands_hold_a_ceremony(tmp_path: Path) -> None:
    """Asked, foreseen, held, held again, verified and taken home: a process each."""
    ca, offline = tmp_path / "ca", tmp_path / "offline"
    passphrases = {"issuing": ISSUING_PASSPHRASE}
    asked = pki(
        *("ceremony", "request", "--directory", ca),
        document=policy_document(),
        passphrases=passphrases,
    ).answer
    step = {
        "type": "certify",
        "request": "issuing.request.json",
        "sha256": asked["sha256"],
    }
    plan = ca / "plan.json"  # beside the request
    plan.write_bytes(plan_text("first-root", MAKE_ROOT, step))
    run = ("ceremony", "run", "--directory", offline, "--plan", plan)
    foreseen = pki(*run, "--check").answer
    assert foreseen["changed"]
    assert (
        foreseen["read_aloud"]["issuing.request.json"]
        == (asked["read_aloud"]["request"])
    )
    assert not offline.exists()
    both = {"first": FIRST, "second": SECOND}
    made = pki(*run, passphrases=both).answer
    again = pki(*run).answer
    assert again == made | {"changed": False}
    document = Path(made["path"]).read_text()
    root = made["read_aloud"]["root"]
    assert (
        pki("ceremony", "verify", document=document).answer["read_aloud"]
        == (made["read_aloud"])
    )
    taken = pki(
        *("ceremony", "import", "--directory", ca, "--root-sha256", root),
        document=document,
    ).answer
    assert taken["certificates"] == ["root", "issuing"]
    done = pki("init", "--directory", ca, document=policy_document()).answer
    assert not done["changed"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"version": 2}, "version"),
        ({"name": "../up"}, "name"),
        ({"trust_domain": "Shop"}, "trust_domain"),
        ({"people": ["Ada Lang"]}, "people"),
        ({"people": ["Ada Lang", "ada  lang"]}, "people"),
        ({"steps": []}, "steps"),
        ({"steps": [{"type": "list"}, MAKE_ROOT]}, "make-root or update-root comes"),
        ({"steps": [MAKE_ROOT, MAKE_ROOT]}, "make-root or update-root comes first"),
        ({"steps": [MAKE_ROOT, UPDATE_ROOT]}, "update-root comes first"),
        ({"root": "0" * 64}, "none before make-root"),
        ({"steps": [{"type": "certify", "request": "a/b", "sha256": "0"}]}, "request"),
        ({"steps": [{"type": "burn"}]}, "burn"),
        ({"more": 1}, "more"),
    ],
)
def test_wrong_plan_is_refused(changes: dict[str, Any], said: str) -> None:
    """The message names the member."""
    with pytest.raises(PlanError, match=said):
        read_plan(plan_text("first-root", MAKE_ROOT, **changes))
