"""Keys are made by their owner, signed by the CA, installed whole or not at all."""

import json
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from ansible_collections.certbound.kit.plugins.module_utils.generation import (
    NotInstalledError,
    current_serial,
)
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

from tests.playbooks.enrolling import DAY, Enrolling, open_files


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with a CA in it, and an identity enrolled."""
    enrolling = Enrolling(tmp_path_factory.mktemp("founded"))
    enrolling.found()
    enrolling.install(enrolling.sign(enrolling.ask()))
    return enrolling.root


@pytest.fixture
def enrolled(founded: Path, tmp_path: Path) -> Enrolling:
    """Return an enrolled identity that a test may spoil."""
    root = tmp_path / "certs"
    shutil.copytree(founded, root, symlinks=True)
    return Enrolling(root)


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
    again = enrolled.ask(root=enrolled.found()["root"]["sha256"])
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


def test_forgotten_key_is_removed(enrolled: Enrolling) -> None:
    """A waiting key that nobody needs any more does not lie about."""
    enrolled.ask(renew_before=2 * DAY)
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


def test_reason_close_to_the_end(enrolled: Enrolling) -> None:
    """A certificate with too little left is renewed, and that is said."""
    reason = enrolled.ask(check=True, renew_before=DAY)["reason"]
    assert reason.startswith("less than 1 day, 0:00:00 left, it ends at 2")


def test_reason_other_names(enrolled: Enrolling) -> None:
    """A certificate with other names than the topology's is replaced."""
    enrolled.dns_names = ["orders.shop.internal"]
    reason = enrolled.ask(check=True)["reason"]
    assert reason == "other names than in the topology (DNS:localhost)"


def test_reason_longer_life(enrolled: Enrolling) -> None:
    """A certificate that lives longer than is now allowed is replaced."""
    enrolled.lifetime = DAY // 2
    reason = enrolled.ask(check=True)["reason"]
    assert reason == "lives longer than the topology allows"


def test_reason_other_root(enrolled: Enrolling) -> None:
    """A certificate under a root that the CA does not have is replaced."""
    reason = enrolled.ask(check=True, root="00" * 32)["reason"]
    assert reason == "issued under a root that the CA no longer has"


def test_reason_other_key(enrolled: Enrolling) -> None:
    """A certificate whose key is not the one beside it is replaced."""
    make_key(f"{enrolled.paths.current}/key.pem")
    reason = enrolled.ask(check=True)["reason"]
    assert reason == "the certificate is not of the key beside it"


def test_reason_broken_chain(enrolled: Enrolling) -> None:
    """A certificate that its bundle does not verify is replaced."""
    bundle = Path(enrolled.paths.current) / "bundle.pem"
    leaf_and_issuer = (Path(enrolled.paths.current) / "certificate.pem").read_text()
    bundle.write_text(
        leaf_and_issuer.split("-----END")[0] + "-----END CERTIFICATE-----\n"
    )
    assert enrolled.ask(check=True)["reason"].startswith("broken generation (openssl")


def test_reason_unreadable(enrolled: Enrolling) -> None:
    """A file that is no certificate is replaced."""
    (Path(enrolled.paths.current) / "certificate.pem").write_text("nothing")
    assert enrolled.ask(check=True)["reason"].startswith("unreadable certificate (")


def test_reason_expired(enrolled: Enrolling) -> None:
    """A certificate at its end is replaced, and that it expired is said."""
    present = enrolled.look()
    assert present.certificate is not None
    assert present.fault is None
    late = enrolled.look(present.certificate.not_after)
    assert str(late.fault).startswith("expired at 2")


def test_reason_not_yet_valid(enrolled: Enrolling) -> None:
    """A certificate of the future, by this host's clock, is replaced."""
    present = enrolled.look()
    assert present.certificate is not None
    early = enrolled.look(present.certificate.not_before - 1)
    assert str(early.fault).startswith("not valid before 2")


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


def not_installed(enrolled: Enrolling, signed: dict[str, object], said: str) -> None:
    before = current_serial(enrolled.identity)
    with pytest.raises((NotInstalledError, OpensslError), match=said):
        enrolled.install(signed)
    assert current_serial(enrolled.identity) == before


def test_certificate_of_another_key_is_not_installed(enrolled: Enrolling) -> None:
    """What was issued for another key leaves everything as it was."""
    signed = enrolled.sign(enrolled.ask(renew_before=2 * DAY))
    make_key(f"{enrolled.paths.pending}/key.pem")
    not_installed(enrolled, signed, "not of the key that waits")


def test_certificate_of_another_ca_is_not_installed(
    enrolled: Enrolling, tmp_path: Path
) -> None:
    """What another CA issued leaves everything as it was."""
    rogue = Enrolling(tmp_path / "rogue")
    rogue.found()
    asked = enrolled.ask(renew_before=2 * DAY)
    bundle = enrolled.sign(asked)["trust_bundle"]
    signed = rogue.sign(asked) | {"trust_bundle": bundle}
    not_installed(enrolled, signed, "openssl verify")


def test_certificate_with_other_names_is_not_installed(enrolled: Enrolling) -> None:
    """What carries other names than this host expects leaves everything as it was."""
    signed = enrolled.sign(enrolled.ask(renew_before=2 * DAY))
    enrolled.dns_names = ["orders.shop.internal"]
    not_installed(enrolled, signed, "the certificate is for DNS:localhost")


def test_certificate_without_waiting_key_is_not_installed(enrolled: Enrolling) -> None:
    """Without the key it was made for, a certificate is of no use."""
    signed = enrolled.sign(enrolled.ask(renew_before=2 * DAY))
    shutil.rmtree(enrolled.paths.pending)
    not_installed(enrolled, signed, "no key that waits")


def test_key_exists_once(enrolled: Enrolling) -> None:
    """The key is moved with its generation; no copy stays behind."""
    enrolled.renew()
    key = (Path(enrolled.paths.current) / "key.pem").read_bytes()
    holders = [
        path
        for path in enrolled.root.rglob("*")
        if path.is_file() and key in path.read_bytes()
    ]
    assert len({path.resolve() for path in holders}) == 1


def test_old_generations_are_few(enrolled: Enrolling) -> None:
    """After many renewals the current generation and a few before it are there."""
    serials = [enrolled.renew(keep=2).serial for _ in range(4)]
    kept = {path.name for path in Path(enrolled.paths.generations).iterdir()}
    assert kept == set(serials[-3:])
    assert Path(enrolled.paths.current).resolve().name == serials[-1]


def test_lost_passphrase_is_not_replaced(enrolled: Enrolling) -> None:
    """If the passphrase of a sealed key is gone, none is made up for it."""
    Path(enrolled.ca["issuing_passphrase_file"]).unlink()
    (enrolled.root / "ca" / "issuing.pem").unlink()
    with pytest.raises(authority.LostPassphraseError, match="restore it"):
        enrolled.found()


def test_wrong_passphrase_is_said_in_a_sentence(enrolled: Enrolling) -> None:
    """A passphrase that does not open the key fails the task with the CA's words."""
    Path(enrolled.ca["issuing_passphrase_file"]).write_text("something else entirely")
    asked = enrolled.ask(renew_before=2 * DAY)
    with pytest.raises(PkiCommandError) as caught:
        enrolled.sign(asked)
    assert "something else" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_passphrases_are_long_and_differ(enrolled: Enrolling) -> None:
    """Each key is sealed under a random passphrase of its own."""
    root = Path(enrolled.ca["root_passphrase_file"]).read_text().strip()
    issuing = Path(enrolled.ca["issuing_passphrase_file"]).read_text().strip()
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


def test_installed_certificate_is_what_openssl_likes(enrolled: Enrolling) -> None:
    """The installed chain passes openssl's strict check for server and client."""
    current = enrolled.paths.current
    for purpose in ("sslserver", "sslclient"):
        subprocess.run(
            [
                *("openssl", "verify", "-x509_strict", "-purpose", purpose),
                *("-CAfile", f"{current}/bundle.pem"),
                *("-untrusted", f"{current}/certificate.pem"),
                f"{current}/certificate.pem",
            ],
            check=True,
            capture_output=True,
        )
