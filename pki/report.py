"""Results of the CA as JSON values, for people's scripts and for Ansible.

Serials are lower-case hex without leading zeros, moments RFC 3339 in UTC. Only the
commands come here.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pki import clock
from pki.pointers import authority_of

if TYPE_CHECKING:  # reading the ledger must not load what signs
    from collections.abc import Sequence

    from pki.authority import Batch
    from pki.backup import Backup
    from pki.decision import Answer
    from pki.entry import Entry
    from pki.inspection import State
    from pki.inventory import Difference, Item
    from pki.ledger import VerifiedLedger
    from pki.present import Present
    from pki.published import Head, Imprint
    from pki.restoring import Restored
    from pki.rotation_steps import Step
    from pki.upkeep import Publication
    from pki.withdrawal import Withdrawn

_CHANGING = {"issued", "would_issue"}


def founding(before: "State", after: "State") -> dict[str, object]:
    """Return what `init` says: what was made, and what there is now."""
    return {
        "changed": bool(before.missing) or before.policy_changed,
        "created": list(before.missing),
        "policy_changed": before.policy_changed,
        "root": _summary(after.root),
        "issuing": _summary(after.issuing),
        **standing(after.standing),
    }


def batch(answered: "Batch") -> dict[str, object]:
    """Return what `issue` says: a verdict for each request, and the trust bundle."""
    return {
        "changed": any(answer.verdict in _CHANGING for answer in answered.answers),
        "results": [_answer(answer, answered.standing) for answer in answered.answers],
        **standing(answered.standing),
    }


def standing(present: "Present | None") -> dict[str, object]:
    """Return what every host should have: whom to trust, by whom to be certified."""
    if present is None:
        return {
            "trusted_roots": [],
            "trust_bundle": "",
            "issuer": None,
            "issued_after": None,
        }
    return {
        "trusted_roots": present.trusted_roots,
        "trust_bundle": pem(*present.roots),
        "issuer": authority_of(present.issuing),
        "issued_after": present.issued_after,
    }


def rotation(present: "Present", *, changed: bool) -> dict[str, object]:
    """Return what the verbs of `rotation` say: the phase, and what follows from it."""
    step = present.rotation
    history = [one for one in present.steps if step and one.id == step.id]
    return {
        "changed": changed,
        "rotation": step
        and {
            "id": step.id,
            "what": step.what,
            "phase": step.phase,
            "since": step.at,
            "history": [_step(one) for one in history],
        },
        "done": {one.what: one.at for one in present.steps if one.phase == "done"},
        **standing(present),
        "chain": pem(*present.chain),
    }


def bundle(present: "Present") -> dict[str, object]:
    """Return what `bundle` says: the certificates to trust; the newest one's hash."""
    return {
        "trust_bundle": pem(*present.roots),
        "trusted_roots": present.trusted_roots,
        "sha256": _sha256(present.roots[-1]),
    }


def verified(ledger: "VerifiedLedger", *, witnesses: int = 0) -> dict[str, object]:
    """Return what `ledger verify` says of a whole chain."""
    return {"ok": True, **asdict(ledger), "witnesses": witnesses}


def head(newest: "Head") -> dict[str, object]:
    """Return what `ledger head` says: what a witness keeps."""
    return asdict(newest)


def left_to_hosts(newest: "Head | None") -> dict[str, object]:
    """Return what `init` and `issue` say besides: the head that every host keeps."""
    return {"ledger_head": None if newest is None else head(newest)}


def withdrawn(done: "Withdrawn") -> dict[str, object]:
    """Return what `revoke` says: what is revoked now, what was before, the lists."""
    return {
        "changed": bool(done.revoked),
        "revoked": [_revoked(line) for line in done.revoked],
        "revoked_before": [_revoked(line) for line in done.before],
        "untold": [line.serial for line in done.untold],
        "crls": [_crl(crl) for crl in done.crls],
    }


def publication(done: "Publication") -> dict[str, object]:
    """Return what `crl` says: what was made, or is due, and the lists there are."""
    return {
        "changed": done.changed,
        "published": [{"by": by, "scope": scope} for by, scope in done.lists],
        "answers": done.answers,
        "responder": done.responder,
        "root_waits": done.root_waits,
        "crls": [_crl(crl) for crl in done.crls],
    }


def backup(made: "Backup") -> dict[str, object]:
    """Return what `backup` says: where it is, and how far the ledger in it reaches."""
    manifest = made.manifest
    return {
        "changed": True,
        "file": str(made.path),
        "bytes": made.size,
        "made_at": manifest.made_at,
        "entries": manifest.entries,
        "head": manifest.head,
        "files": sorted(manifest.files),
    }


def restored(done: "Restored") -> dict[str, object]:
    """Return what `restore` says: how far the ledger reaches, what is known as lost."""
    return {
        "changed": True,
        "made_at": done.manifest.made_at,
        "entries": done.entries,
        "lost": done.lost,
        "lost_revocations": done.lost_revocations,
    }


def inventory(
    items: "Sequence[Item]", differences: "Sequence[Difference] | None"
) -> dict[str, object]:
    """Return what `inventory` says; how hosts differ only if they were asked."""
    shown: dict[str, object] = {"certificates": [asdict(item) for item in items]}
    if differences is None:
        return shown
    told = [asdict(difference) for difference in differences]
    return {**shown, "differences": told, "ok": not told}


def entry(line: "Entry") -> dict[str, object]:
    """Return one line of `ledger list`: all but the certificate itself."""
    stated = asdict(line)
    del stated["certificate"]
    return stated


def pem(*certificates: x509.Certificate) -> str:
    """Return the PEM form of certificates, one after the other."""
    return "".join(
        one.public_bytes(serialization.Encoding.PEM).decode() for one in certificates
    )


def _answer(answer: "Answer", present: "Present") -> dict[str, object]:
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
        "certificate": pem(certificate, *present.chain) if certificate else None,
    }


def _step(step: "Step") -> dict[str, object]:
    return {
        "phase": step.phase,
        "at": step.at,
        "run_id": step.run_id,
        "waivers": [
            {"identity": one.identity, "reason": one.reason} for one in step.waivers
        ],
    }


def _revoked(line: "Entry") -> dict[str, object]:
    return {
        "identity": line.identity,
        "serial": line.serial,
        "not_after": line.not_after,
        "revoked_at": line.recorded_at,
        "reason": line.reason,
        "authority": line.authority,
    }


def _crl(crl: "Imprint") -> dict[str, object]:
    return {
        "authority": crl.authority,
        "scope": crl.scope,
        "number": crl.number,
        "base_number": crl.base_number,
        "this_update": crl.this_update,
        "next_update": crl.next_update,
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
