"""Results of the CA as JSON values, for people's scripts and for Ansible.

Serials are lower-case hex without leading zeros, moments RFC 3339 in UTC. Only the
commands come here.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pki import clock

if TYPE_CHECKING:  # reading the ledger must not load what signs
    from pki.authority import Batch
    from pki.decision import Answer
    from pki.entry import Entry
    from pki.inspection import State
    from pki.ledger import VerifiedLedger

_CHANGING = {"issued", "would_issue"}


def founding(before: "State", after: "State") -> dict[str, object]:
    """Return what `init` says: what was made, and what there is now."""
    return {
        "changed": bool(before.missing) or before.policy_changed,
        "created": list(before.missing),
        "policy_changed": before.policy_changed,
        "root": _summary(after.root),
        "issuing": _summary(after.issuing),
    }


def batch(answered: "Batch") -> dict[str, object]:
    """Return what `issue` says: a verdict for each request, and the trust bundle."""
    return {
        "changed": any(answer.verdict in _CHANGING for answer in answered.answers),
        "results": [_answer(answer, answered.issuing) for answer in answered.answers],
        "trust_bundle": pem(answered.root),
    }


def bundle(root: x509.Certificate) -> dict[str, object]:
    """Return what `bundle` says: the certificates to trust."""
    return {"trust_bundle": pem(root), "sha256": _sha256(root)}


def verified(ledger: "VerifiedLedger") -> dict[str, object]:
    """Return what `ledger verify` says of a whole chain."""
    return {"ok": True, **asdict(ledger)}


def entry(line: "Entry") -> dict[str, object]:
    """Return one line of `ledger list`: all but the certificate itself."""
    stated = asdict(line)
    del stated["certificate"]
    return stated


def pem(certificate: x509.Certificate) -> str:
    """Return the PEM form."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _answer(answer: "Answer", issuing: x509.Certificate) -> dict[str, object]:
    certificate, refusal = answer.certificate, answer.refusal
    return {
        "identity": answer.identity,
        "verdict": answer.verdict,
        "code": refusal.code if refusal else None,
        "reason": str(refusal) if refusal else None,
        "serial": f"{certificate.serial_number:x}" if certificate else None,
        "not_after": clock.to_text(certificate.not_valid_after_utc)
        if certificate
        else None,
        # In the order TLS sends them: the service first (RFC 8446, section 4.4.2).
        "certificate": pem(certificate) + pem(issuing) if certificate else None,
    }


def _summary(certificate: x509.Certificate | None) -> dict[str, str] | None:
    if certificate is None:
        return None
    return {
        "serial": f"{certificate.serial_number:x}",
        "not_after": clock.to_text(certificate.not_valid_after_utc),
        "sha256": _sha256(certificate),
    }


def _sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
