"""The command `python -m pki`, run for real."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from pki.ledger import open_ledger
from tests.pki.builders import (
    ISSUING_PASSPHRASE,
    ROOT_PASSPHRASE,
    Ca,
    csr,
    p256,
    policy_document,
)
from tests.pki.command import COMMAND, Done, pki

ORDERS = "orders@localhost"
BOTH = {"root": ROOT_PASSPHRASE + b"\n", "issuing": ISSUING_PASSPHRASE + b"\r\n"}
ISSUING = {"issuing": ISSUING_PASSPHRASE}


def issue(ca: Ca, *requests: tuple[str, str], check: bool = False) -> Done:
    """Run `issue` for pairs of identity and request."""
    document = {"requests": [{"identity": who, "csr": text} for who, text in requests]}
    arguments: list[str | Path] = ["issue", "--directory", ca.layout.directory]
    if check:
        return pki(*arguments, "--check", document=document)
    return pki(*arguments, document=document, passphrases=ISSUING)


def test_from_nothing_to_a_certificate(tmp_path: Path) -> None:
    """The happy path of a roll-out: check, init, init again, issue, issue again."""
    directory = tmp_path / "ca"
    init = ("init", "--directory", directory)
    would = pki(*init, "--check", document=policy_document()).answer
    assert would["changed"]
    assert would["root"] is None
    assert not directory.exists()

    made = pki(*init, document=policy_document(), passphrases=BOTH).answer
    assert made["changed"]
    assert made["created"] == would["created"]
    assert not made["policy_changed"]
    assert set(made["root"]) == {"serial", "not_after", "sha256"}

    again = pki(*init, document=policy_document()).answer
    assert again == {**made, "changed": False, "created": []}

    key = p256()
    document = {"requests": [{"identity": ORDERS, "csr": csr(key)}]}
    asked = ("issue", "--directory", directory)
    first = pki(*asked, document=document, passphrases=ISSUING).answer
    (result,) = first["results"]
    assert first["changed"]
    assert (result["verdict"], result["reason"], result["code"]) == (
        "issued",
        None,
        None,
    )
    leaf, issuing = x509.load_pem_x509_certificates(result["certificate"].encode())
    root = x509.load_pem_x509_certificate(first["trust_bundle"].encode())
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(root)
    assert leaf.public_key() == key.public_key()
    assert result["serial"] == f"{leaf.serial_number:x}"
    assert result["not_after"] == leaf.not_valid_after_utc.strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )

    second = pki(*asked, document=document).answer
    assert not second["changed"]
    assert second["results"] == [{**result, "verdict": "reused"}]

    verified = pki("ledger", "verify", "--directory", directory).answer
    assert (verified["ok"], verified["entries"], verified["issued"]) == (True, 6, 3)


def test_batch_with_a_bad_request_succeeds(ca: Ca) -> None:
    """One bad request is refused with code and reason; the exit code is 0."""
    done = issue(ca, ("x@localhost", csr()), (ORDERS, csr()))
    refused, issued = done.answer["results"]
    assert refused["verdict"] == "refused"
    assert refused["code"] == "unknown_identity"
    assert "x@localhost" in refused["reason"]
    assert refused["certificate"] is None
    assert issued["verdict"] == "issued"


def test_check_mode_signs_nothing(ca: Ca) -> None:
    """It needs no passphrase and says what would be."""
    answer = issue(ca, (ORDERS, csr()), check=True).answer
    assert answer["changed"]
    assert answer["results"][0]["verdict"] == "would_issue"
    with open_ledger(ca.layout.ledger) as ledger:
        assert ledger.newest_issued(ORDERS) is None


def test_two_hundred_requests_are_one_process(tmp_path: Path) -> None:
    """One run, one opening of the key, two hundred certificates."""
    services = [f"service-{number}" for number in range(200)]
    ca = Ca.found(tmp_path / "ca", policy_document(services))
    done = issue(ca, *[(f"{name}@localhost", csr()) for name in services])
    results = done.answer["results"]
    assert [result["verdict"] for result in results] == ["issued"] * 200
    assert len({result["serial"] for result in results}) == 200
    with open_ledger(ca.layout.ledger) as ledger:
        assert ledger.verify().issued == 202
        runs = {entry.run_id for entry in ledger.entries()}
    assert len(runs) == 2


def test_run_id_is_written_into_the_ledger(ca: Ca) -> None:
    """So that an entry leads back to the play that made it."""
    pki(
        *("issue", "--directory", ca.layout.directory, "--run-id", "play-7"),
        document={"requests": [{"identity": ORDERS, "csr": csr()}]},
        passphrases=ISSUING,
    )
    listed = pki(
        *("ledger", "list", "--directory", ca.layout.directory, "--identity", ORDERS)
    ).answer["entries"]
    assert [entry["event"] for entry in listed] == ["planned", "issued"]
    assert {entry["run_id"] for entry in listed} == {"play-7"}
    assert "certificate" not in listed[1]


def test_ledger_list_shows_everything(ca: Ca) -> None:
    """Root and issuing CA come first."""
    listed = pki("ledger", "list", "--directory", ca.layout.directory).answer
    assert [entry["identity"] for entry in listed["entries"]] == [
        "root",
        "root",
        "issuing",
        "issuing",
    ]


def test_bundle_is_the_root(ca: Ca) -> None:
    """What everyone has to trust, and its fingerprint."""
    answer = pki("bundle", "--directory", ca.layout.directory).answer
    assert answer["trust_bundle"] == ca.layout.certificate("root").read_text()
    assert len(answer["sha256"]) == 64


def test_from_a_certificate_to_its_revocation(ca: Ca) -> None:
    """Check, revoke, revoke again, and the lists that say so."""
    certificate = ca.one()
    asked = ("--identity", ORDERS, "--reason", "keyCompromise")
    revoke = ("revoke", "--directory", ca.layout.directory, *asked)
    would = pki(*revoke, "--check").answer
    assert would["changed"]
    assert pki("crl", "--directory", ca.layout.directory).answer["changed"] is False

    done = pki(*revoke, passphrases=ISSUING).answer
    (revoked,) = done["revoked"]
    assert done["changed"]
    assert revoked["serial"] == f"{certificate.serial_number:x}"
    assert (revoked["identity"], revoked["reason"]) == (ORDERS, "keyCompromise")
    scopes = {crl["scope"] for crl in done["crls"]}
    assert scopes == {"full", "delta"}
    assert done["untold"] == []

    again = pki(*revoke).answer
    assert not again["changed"]
    assert again["revoked_before"] == [revoked]
    by_serial = ("--serial", revoked["serial"], "--reason", "superseded")
    same = pki("revoke", "--directory", ca.layout.directory, *by_serial).answer
    assert (same["changed"], same["revoked_before"]) == (False, [revoked])


def test_lists_that_are_due_are_published(ca: Ca) -> None:
    """Once; then nothing is due, and no passphrase is asked for."""
    crl = ("crl", "--directory", ca.layout.directory)
    would = pki(*crl, "--check").answer
    assert would["published"] == [{"by": "issuing", "scope": "full"}]
    done = pki(*crl, passphrases=ISSUING).answer
    assert (done["changed"], done["published"]) == (True, would["published"])
    again = pki(*crl).answer
    assert (again["changed"], again["crls"]) == (False, done["crls"])
    assert pki(*crl, passphrases={"root": ROOT_PASSPHRASE}).answer["changed"] is False


def test_unknown_identity_is_not_revoked(ca: Ca) -> None:
    """A mistyped name is an error, not a success."""
    done = pki(
        *("revoke", "--directory", ca.layout.directory, "--identity", "x@localhost"),
        *("--reason", "unspecified"),
    )
    assert done.refusal["error"] == "unknown_certificate"


def test_broken_ledger_is_an_error(ca: Ca) -> None:
    """Exit code 1, and the message names the entry."""
    with open_ledger(ca.layout.ledger) as ledger:
        ledger.connection.execute("DROP TRIGGER entry_is_never_changed")
        ledger.connection.execute("UPDATE entry SET run_id = 'x' WHERE sequence = 2")
    done = pki("ledger", "verify", "--directory", ca.layout.directory)
    assert done.refusal == {"error": "ledger_broken", "message": "entry 2 was changed"}


def test_wrong_policy_is_an_error(tmp_path: Path) -> None:
    """The message names the key, and nothing is made."""
    document = policy_document()
    document["identities"][ORDERS]["lifetime"] = "24h"
    done = pki("init", "--directory", tmp_path / "ca", document=document)
    assert done.refusal == {
        "error": "invalid_policy",
        "message": f"identities['{ORDERS}'].lifetime: Expected `int`, got `str`",
    }
    assert not (tmp_path / "ca").exists()


def test_wrong_requests_are_an_error(ca: Ca) -> None:
    """What is no batch is refused as a whole, with what was expected."""
    document = {"requests": [{"identity": ORDERS}]}
    done = pki("issue", "--directory", ca.layout.directory, document=document)
    assert done.refusal["error"] == "invalid_input"
    assert "missing required field `csr`" in done.refusal["message"]


def test_missing_ca_is_an_error(tmp_path: Path) -> None:
    """Every reading verb says that there is no CA."""
    for verb in (["issue"], ["bundle"]):
        done = pki(*verb, "--directory", tmp_path, document={"requests": []})
        assert done.refusal["error"] == "no_authority"
    done = pki("ledger", "verify", "--directory", tmp_path)
    assert done.refusal["error"] == "ledger_unusable"


def test_wrong_passphrase_is_an_error(ca: Ca) -> None:
    """The message names the key, and never what was given."""
    done = pki(
        *("issue", "--directory", ca.layout.directory),
        document={"requests": [{"identity": ORDERS, "csr": csr()}]},
        passphrases={"issuing": b"another passphrase"},
    )
    assert done.refusal["error"] == "wrong_passphrase"
    assert "issuing" in done.refusal["message"]
    assert "another" not in done.errors


def test_weak_passphrase_is_an_error(tmp_path: Path) -> None:
    """A new key is not sealed under it."""
    done = pki(
        *("init", "--directory", tmp_path / "ca"),
        document=policy_document(),
        passphrases={"root": b"short", "issuing": ISSUING_PASSPHRASE},
    )
    assert done.refusal["error"] == "weak_passphrase"


def test_no_terminal_and_no_descriptor_is_an_error(ca: Ca) -> None:
    """The message says which option to give."""
    document = {"requests": [{"identity": ORDERS, "csr": csr()}]}
    done = pki("issue", "--directory", ca.layout.directory, document=document)
    assert done.refusal["error"] == "no_passphrase"
    assert "--issuing-passphrase-fd" in done.refusal["message"]


def test_passphrase_is_asked_for_at_a_terminal(ca: Ca, tmp_path: Path) -> None:
    """Hidden: what is typed does not come back."""
    document = {"requests": [{"identity": ORDERS, "csr": csr()}]}
    (tmp_path / "requests.json").write_text(json.dumps(document))
    ours, theirs = os.openpty()
    # The first terminal that the leader of a new session opens becomes its own.
    own_terminal = ["sh", "-c", 'exec 9<>"$1"; shift; exec "$@"', "sh"]
    asked = [*COMMAND, "issue", "--directory", str(ca.layout.directory)]
    with (tmp_path / "requests.json").open("rb") as requests:
        process = subprocess.Popen(
            [*own_terminal, os.ttyname(theirs), *asked],
            stdin=requests,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    seen = os.read(ours, 1000)
    os.write(ours, ISSUING_PASSPHRASE + b"\n")
    output, _ = process.communicate(timeout=20)
    os.close(theirs)
    os.close(ours)
    assert b"Passphrase of the issuing key" in seen
    answer: dict[str, Any] = json.loads(output)
    assert answer["results"][0]["verdict"] == "issued"


@pytest.mark.parametrize(
    "arguments",
    [
        ["init"],
        ["issue", "--directory", ".", "--issuing-passphrase-fd", "0"],
        ["issue", "--directory", ".", "--issuing-passphrase", "secret"],
        [
            *("init", "--directory", "."),
            *("--root-passphrase-fd", "3", "--issuing-passphrase-fd", "3"),
        ],
        ["issue", "--directory", ".", "--run-id", "\u00e9"],
        ["revoke", "--directory", ".", "--identity", "a@b"],
        ["revoke", "--directory", ".", "--reason", "keyCompromise"],
        [
            *("revoke", "--directory", ".", "--reason", "keyCompromise"),
            *("--identity", "a@b", "--serial", "1"),
        ],
        ["revoke", "--directory", ".", "--serial", "x", "--reason", "keyCompromise"],
        [
            *("revoke", "--directory", ".", "--identity", "a@b"),
            *("--reason", "certificateHold"),
        ],
        ["nonsense"],
    ],
)
def test_wrong_command_line_is_exit_code_2(arguments: list[str]) -> None:
    """A mistake in the call is told apart from a refusal."""
    done = pki(*arguments, document={})
    assert done.code == 2
    assert "Usage:" in done.errors


@pytest.mark.parametrize("verb", [[], ["init"], ["issue"], ["revoke"], ["crl"]])
def test_help_shows_an_example(verb: list[str]) -> None:
    """What is to be typed, line by line."""
    done = pki(*verb, "--help")
    assert done.code == 0
    assert "Example" in done.output
    assert "\n    python -m pki" in done.output


def test_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    """What the system refuses is JSON, too."""
    (tmp_path / "file").touch()
    done = pki(
        *("init", "--directory", tmp_path / "file" / "ca"),
        document=policy_document(),
        passphrases=BOTH,
    )
    assert done.refusal["error"] == "system"


def test_reading_the_ledger_loads_nothing_that_signs(ca: Ca) -> None:
    """`ledger verify` runs without the code of authority and keys."""
    program = (
        "import sys, runpy\n"
        "try: runpy.run_module('pki', run_name='__main__')\n"
        "finally: print(*[m for m in sys.modules if m.startswith('pki.')], "
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [
            *(COMMAND[0], "-c", program),
            *("ledger", "verify", "--directory", ca.layout.directory),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["ok"]
    loaded = set(done.stderr.split())
    assert "pki.ledger" in loaded
    assert not loaded & {"pki.authority", "pki.signing", "pki.keys", "pki.founding"}
