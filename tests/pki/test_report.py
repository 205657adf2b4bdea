"""Results as JSON values."""

import json

from pki import report
from pki.authority import Batch
from pki.decision import Answer, UnknownIdentityError, Verdict
from pki.inspection import State
from pki.ledger import VerifiedLedger
from pki.present import Present
from tests.pki.builders import Forge


def standing(forge: Forge) -> Present:
    """Return a CA in no rotation."""
    return Present(root=forge.root, issuing=forge.issuing, roots=(forge.root,))


def test_refusal_has_code_and_reason(forge: Forge) -> None:
    """A refused request has no certificate, and does not count as a change."""
    refused = Answer("a@b", Verdict.REFUSED, refusal=UnknownIdentityError("who?"))
    said = report.batch(Batch((refused,), standing(forge)))
    assert said["changed"] is False
    assert said["results"] == [
        {
            "identity": "a@b",
            "verdict": "refused",
            "code": "unknown_identity",
            "reason": "who?",
            "serial": None,
            "not_after": None,
            "certificate": None,
        }
    ]


def test_certificate_comes_before_its_issuer(forge: Forge) -> None:
    """In the order TLS sends them, and the root apart."""
    leaf = forge.leaf_draft.sign(forge.issuing_key)
    issued = Answer("a@b", Verdict.ISSUED, leaf)
    said = json.loads(json.dumps(report.batch(Batch((issued,), standing(forge)))))
    assert said["changed"] is True
    assert said["trust_bundle"] == report.pem(forge.root)
    (result,) = said["results"]
    assert result["certificate"] == report.pem(leaf) + report.pem(forge.issuing)
    assert result["serial"] == f"{leaf.serial_number:x}"
    assert result["not_after"] == "2026-11-23T17:30:16Z"


def test_absent_certificates_are_null() -> None:
    """What a check of an empty place says."""
    state = State(missing=("ledger",), policy_changed=False, root=None, issuing=None)
    assert report.founding(state, state) == {
        "changed": True,
        "created": ["ledger"],
        "policy_changed": False,
        "root": None,
        "issuing": None,
        "trusted_roots": [],
        "trust_bundle": "",
        "issuer": None,
        "issued_after": None,
    }


def test_verified_ledger_shows_its_head() -> None:
    """The hash somebody may keep elsewhere."""
    said = report.verified(VerifiedLedger(6, 3, "ab"))
    assert said == {
        "ok": True,
        "entries": 6,
        "issued": 3,
        "head": "ab",
        "witnesses": 0,
    }
