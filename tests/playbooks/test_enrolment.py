"""Keys are made by their owner, signed by the CA, installed whole or not at all."""

import json
import sqlite3
from pathlib import Path

import pytest
from ansible_collections.certbound.kit.plugins.module_utils.generation import (
    current_serial,
)
from ansible_collections.certbound.kit.plugins.module_utils.identity import Wanted
from ansible_collections.certbound.kit.plugins.module_utils.openssl import (
    OpensslError,
    make_key,
    make_request,
)
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
    run_pki,
)
from ansible_collections.certbound.kit.plugins.modules import (
    authority,
    identity_install,
    identity_issue,
    identity_request,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.passphrases import (
    PassphraseError,
)

from tests.playbooks.enrolling import DAY, PASSPHRASES, Enrolling, open_files


def issued(enrolling: Enrolling) -> int:
    """Return how many certificates the ledger knows."""
    listed = run_pki(
        enrolling.ca["command"],
        ["ledger", "list", "--directory", enrolling.ca["directory"]],
        chdir=enrolling.ca["chdir"],
    )
    return json.dumps(listed).count('"issued"')


def test_nothing_is_open_to_others(enrolled: Enrolling) -> None:
    """Everything that enrolment makes is its owner's alone."""
    assert list(open_files(enrolled.root)) == []


def test_second_look_needs_nothing(enrolled: Enrolling) -> None:
    """An enrolled identity needs no certificate, and nothing about it changes."""
    again = enrolled.ask(wanted=Wanted(roots=[enrolled.found()["root"]["sha256"]]))
    assert not again["needs_issue"]
    assert not again["changed"]
    assert again["csr"] is None
    assert again["current_serial"] == current_serial(enrolled.identity)
    assert not enrolled.found()["changed"]


def test_check_mode_on_nothing_touches_nothing(tmp_path: Path) -> None:
    """Without a CA and without a key, everything is foreseen and nothing made."""
    enrolling = Enrolling(tmp_path / "certs")
    assert enrolling.found(check=True)["changed"]
    asked = enrolling.ask(check=True)
    assert asked["needs_issue"]
    assert asked["csr"] is None
    signed = enrolling.sign(asked, check=True)
    assert signed["results"] == [
        {
            "identity": "orders@localhost",
            "verdict": "would_issue",
            "reason": "no certificate yet",
        }
    ]
    assert not enrolling.root.exists()


def test_check_mode_on_a_ca_signs_nothing(enrolled: Enrolling) -> None:
    """With a CA and a waiting request, the CA says what it would do and does not."""
    asked = enrolled.ask(renew_before=2 * DAY)
    before = issued(enrolled)
    signed = enrolled.sign(asked, check=True)
    assert signed["results"][0]["verdict"] == "would_issue"
    assert issued(enrolled) == before


def test_request_without_key_is_not_signed(enrolled: Enrolling) -> None:
    """Outside of check mode an entry without a request is an error, not a gap."""
    asked = enrolled.ask(renew_before=2 * DAY) | {"csr": None}
    with pytest.raises(PkiCommandError, match="no request for orders@localhost"):
        enrolled.sign(asked)


def test_broken_run_is_taken_up(enrolled: Enrolling) -> None:
    """A run that died after the signature gets the same certificate again."""
    first = enrolled.sign(enrolled.ask(renew_before=2 * DAY))
    asked = enrolled.ask(renew_before=2 * DAY)
    assert not asked["changed"]
    second = enrolled.sign(asked)
    assert second["results"][0]["verdict"] == "reused"
    assert second["results"][0]["serial"] == first["results"][0]["serial"]
    assert enrolled.install(second).serial == first["results"][0]["serial"]


def test_half_written_key_is_made_anew(enrolled: Enrolling) -> None:
    """A waiting key that a power cut has spoiled is replaced."""
    enrolled.ask(renew_before=2 * DAY)
    key = Path(enrolled.paths.pending) / "key.pem"
    key.write_text(key.read_text()[:40])
    asked = enrolled.ask(renew_before=2 * DAY)
    assert asked["changed"]
    assert enrolled.install(enrolled.sign(asked)).spki_sha256 == asked["spki_sha256"]


def test_request_of_other_names_is_made_anew(enrolled: Enrolling) -> None:
    """A waiting request is not sent if the topology has changed since."""
    stale = enrolled.ask(renew_before=2 * DAY)
    enrolled.dns_names = ["orders.shop.internal"]
    fresh = enrolled.ask(renew_before=2 * DAY)
    assert fresh["csr"] != stale["csr"]
    assert fresh["spki_sha256"] == stale["spki_sha256"]


def test_broken_off_run_is_finished(enrolled: Enrolling) -> None:
    """What was signed is installed, by a run that would have renewed nothing itself."""
    signed = enrolled.sign(enrolled.ask(renew_before=2 * DAY))["results"][0]
    for check in (True, False):
        asked = enrolled.ask(check=check)
        assert asked["needs_issue"]
        assert asked["reason"].startswith("an earlier run was broken off")
    assert enrolled.install(enrolled.sign(asked)).serial == signed["serial"]
    assert not enrolled.ask()["needs_issue"]


def test_forgotten_key_is_removed(enrolled: Enrolling) -> None:
    """A waiting key that the CA was never shown does not lie about."""
    enrolled.ask(renew_before=2 * DAY)
    (Path(enrolled.paths.pending) / "request.pem").unlink()
    assert enrolled.ask()["changed"]
    assert not Path(enrolled.paths.pending).exists()


def test_opened_key_is_closed(enrolled: Enrolling) -> None:
    """A key that others may read is found and closed, and that is a change."""
    key = Path(enrolled.paths.current) / "key.pem"
    key.chmod(0o644)
    assert enrolled.ask(check=True)["changed"]
    assert list(open_files(enrolled.root)) == [key.resolve()]
    assert enrolled.ask()["changed"]
    assert list(open_files(enrolled.root)) == []


def test_ca_refuses_other_names(enrolled: Enrolling) -> None:
    """A request for names that the topology does not give is refused by the CA."""
    enrolled.ask(renew_before=2 * DAY)
    key = f"{enrolled.paths.pending}/key.pem"
    request = f"{enrolled.paths.pending}/request.pem"
    make_request(key, ["DNS:stock.shop.internal"], request)
    asked = enrolled.ask(renew_before=2 * DAY) | {"csr": Path(request).read_text()}
    make_request(key, ["DNS:stock.shop.internal"], request)
    asked["csr"] = Path(request).read_text()
    verdict = enrolled.sign(asked)["results"][0]
    assert verdict["verdict"] == "refused"
    assert "certificate" not in verdict or not verdict["certificate"]


def test_lost_passphrase_is_not_replaced(enrolled: Enrolling) -> None:
    """If the passphrase of a sealed key is gone, none is made up for it."""
    enrolled.passphrase_file("root_passphrase").unlink()
    (enrolled.root / "ca" / "issuing.pem").unlink()
    with pytest.raises(PassphraseError, match="restore it"):
        enrolled.found()


def test_wrong_passphrase_is_said_in_a_sentence(enrolled: Enrolling) -> None:
    """A passphrase that does not open the key fails the task with the CA's words."""
    file = enrolled.passphrase_file("issuing_passphrase")
    file.write_text("something else entirely")
    asked = enrolled.ask(renew_before=2 * DAY)
    with pytest.raises(PkiCommandError) as caught:
        enrolled.sign(asked)
    assert "something else" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_new_policy_takes_no_passphrase(enrolled: Enrolling) -> None:
    """Only what is sealed or certified does: none leaves the controller for it."""
    enrolled.lifetime += 600
    none = dict.fromkeys(PASSPHRASES)
    answer = authority.ensure_authority({**enrolled.ca, **none}, check=False)
    assert answer["policy_changed"]
    assert "wanting" not in answer


def test_passphrases_are_long_and_differ(enrolled: Enrolling) -> None:
    """Each key is sealed under a random passphrase of its own."""
    root, issuing = enrolled.ca["root_passphrase"], enrolled.ca["issuing_passphrase"]
    assert root != issuing
    assert min(len(root), len(issuing)) >= 43  # 32 bytes in base64url


def test_missing_command_is_said_in_a_sentence(enrolled: Enrolling) -> None:
    """A kit that is not there is named, not traced back."""
    with pytest.raises(PkiCommandError, match=r"nowhere/python: No such file"):
        run_pki(["/nowhere/python"], ["init"], chdir=str(enrolled.root))


def test_answer_that_is_no_json_is_refused(enrolled: Enrolling) -> None:
    """A command that prints something else is not believed."""
    with pytest.raises(PkiCommandError, match="the answer is no JSON"):
        run_pki(["echo"], ["hello"], chdir=str(enrolled.root))


def test_diffs_hold_metadata_alone(enrolled: Enrolling) -> None:
    """What Ansible shows has names, serials, dates and reasons, and no PEM."""
    founded = authority.difference(Enrolling(enrolled.root / "other").found())
    asked = enrolled.ask(renew_before=2 * DAY)
    requested = identity_request.difference([asked])
    signed = enrolled.sign(asked)
    issued_ = identity_issue.difference([asked], signed["results"])
    serial = enrolled.install(signed).serial
    installed = identity_install.difference(
        [
            {
                "identity": "orders@localhost",
                "old_serial": asked["current_serial"],
                "serial": serial,
                "not_after": signed["results"][0]["not_after"],
            }
        ]
    )
    shown = json.dumps([founded, requested, issued_, installed])
    assert "-----" not in shown
    assert serial in issued_["after"]
    assert asked["current_serial"] in installed["before"]
    assert "because: less than 2 days" in requested["after"]


def test_openssl_that_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without openssl in PATH the module says so."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OpensslError, match="no openssl command in PATH"):
        make_key(str(tmp_path / "key.pem"))


def test_ledger_is_whole_after_it_all(founded: Path) -> None:
    """What the modules had signed stands in a ledger whose chain holds."""
    enrolling = Enrolling(founded)
    assert (founded / "ca" / "ledger.sqlite").exists()
    with sqlite3.connect(founded / "ca" / "ledger.sqlite") as ledger:
        assert ledger.execute("pragma integrity_check").fetchone() == ("ok",)
    ledger.close()
    run_pki(
        enrolling.ca["command"],
        ["ledger", "verify", "--directory", enrolling.ca["directory"]],
        chdir=enrolling.ca["chdir"],
    )


def test_ledger_that_is_a_file_does_not_become_another_one(
    enrolled: Enrolling,
) -> None:
    """A URL that comes into the topology later is refused, in check mode too."""
    where = {"ledger": "postgresql://certbound@/ledger?host=/run/postgresql"}
    for check in (True, False):
        with pytest.raises(PkiCommandError, match=r"the ledger is .*ledger\.sqlite"):
            authority.ensure_authority({**enrolled.ca, **where}, check=check)
