"""The verbs of `python -m pki rotation`, as a play runs them."""

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.pki.builders import (
    ISSUING_PASSPHRASE,
    ROOT_PASSPHRASE,
    Ca,
    csr,
    policy_document,
)
from tests.pki.command import Done, pki
from tests.pki.rotating import PHASES

BOTH = {"root": ROOT_PASSPHRASE, "issuing": ISSUING_PASSPHRASE}
ORDERS = "orders@localhost"
STANDING = ("trusted_roots", "trust_bundle", "issuer", "issued_after")


@pytest.fixture
def one(tmp_path: Path) -> Ca:
    """Return a CA whose policy names one identity."""
    return Ca.found(tmp_path / "one", policy_document(["orders"]))


def run(ca: Ca, verb: str, *options: str, document: object = None) -> Done:
    """Run a verb of the rotation with both passphrases, if it takes them."""
    needed = {"begin": BOTH, "advance": {"root": ROOT_PASSPHRASE}}.get(verb)
    return pki(
        *("rotation", verb, "--directory", str(ca.layout.directory), *options),
        document=document,
        passphrases=needed,
    )


def evidence(ca: Ca) -> dict[str, Any]:
    """Return what orders shows after it asked with `issue`."""
    answer = pki(
        *("issue", "--directory", ca.layout.directory),
        document={"requests": [{"identity": ORDERS, "csr": csr()}]},
        passphrases={"issuing": ISSUING_PASSPHRASE},
    ).answer
    (result,) = answer["results"]
    bundle = x509.load_pem_x509_certificates(answer["trust_bundle"].encode())
    roots = [sha256(root.public_bytes(Encoding.DER)).hexdigest() for root in bundle]
    assert roots == answer["trusted_roots"]
    return {
        "identity": ORDERS,
        "roots": roots,
        "issuer": answer["issuer"],
        "serial": result["serial"],
        "live": True,
    }


def test_every_answer_says_what_hosts_should_have(one: Ca) -> None:
    """The verbs of a rotation, `issue`, `init` and `bundle` agree."""
    begun = run(one, "begin", "--what", "root", "--run-id", "a play").answer
    assert begun["changed"]
    assert (begun["rotation"]["what"], begun["rotation"]["phase"]) == (
        "root",
        PHASES[0],
    )
    assert begun["rotation"]["history"][-1]["run_id"] == "a play"
    distributing = run(one, "advance", document={}).answer
    assert len(distributing["trusted_roots"]) == 2
    assert distributing["issuer"] == begun["issuer"]
    proof = {"evidence": [evidence(one)]}
    answer = run(one, "advance", document=proof).answer
    assert answer["issuer"] != begun["issuer"]
    assert [step["phase"] for step in answer["rotation"]["history"]] == [
        *("preparing", *PHASES[:3])
    ]
    directory = ("--directory", one.layout.directory)
    shown = run(one, "show").answer
    init = pki("init", "--check", *directory, document=policy_document(["orders"]))
    assert not shown["changed"]
    assert not init.answer["changed"]
    for key in STANDING:
        assert shown[key] == init.answer[key] == answer[key]
    bundle = pki("bundle", *directory).answer
    assert bundle["trust_bundle"] == answer["trust_bundle"]


def test_check_begins_nothing(one: Ca) -> None:
    """It says that something would change, and asks for no passphrase."""
    told = pki(
        *("rotation", "begin", "--what", "issuing", "--check"),
        *("--directory", one.layout.directory),
    ).answer
    assert told["changed"]
    assert told["rotation"] is None


def test_laggards_are_told_to_programs(one: Ca) -> None:
    """By identity, with what is wrong; the waiver that lets it pass is shown."""
    run(one, "begin", "--what", "issuing")
    run(one, "advance", document={})
    refusal = run(one, "advance", document={}).refusal
    assert refusal["error"] == "laggards"
    assert refusal["laggards"] == [{"identity": ORDERS, "wrong": ["no evidence"]}]
    waiver = {"identity": ORDERS, "reason": "in the workshop"}
    done = run(one, "advance", document={"waivers": [waiver]}).answer
    assert done["rotation"]["history"][-1]["waivers"] == [waiver]
    assert run(one, "reverse").answer["rotation"]["phase"] == "distributing"


@pytest.mark.parametrize("document", ["", "[]", {"evidence": [{"identity": 1}]}])
def test_what_is_no_proof_is_refused(one: Ca, document: object) -> None:
    """Nothing is taken for a proof that is none."""
    assert run(one, "advance", document=document).refusal["error"] == "invalid_input"
