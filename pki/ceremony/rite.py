"""The steps of a ceremony, one after the other, with the root's key in hand.

`hall` brings a plan here. Each step does what is not done yet and says what there is
then; certificates go the way of `signing` (lint, plan, signature, record).
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, profiles
from pki.ceremony import plan as scripts
from pki.ceremony.request import CeremonyRequest
from pki.ceremony.result import (
    Listing,
    Transcript,
    fingerprint,
    is_root_of,
    outputs_of,
    write_result,
)
from pki.ceremony.root_keys import CeremonyError, RootKeys, RootMissingError
from pki.crl_series import Series, publish_lists
from pki.entry import Event
from pki.identity import trust_domain_uri
from pki.inspection import pem
from pki.keyring import identifier_of
from pki.layout import Layout
from pki.ledger import Ledger
from pki.pointers import authority_of, signer_of
from pki.present import certificate_of, certificates, find_cross
from pki.request import spki_sha256
from pki.signing import Holder, place_order, sign_and_record
from pki.storage import write_atomically


class RootExistsError(CeremonyError):
    """The plan makes a root, and another plan has made one here."""

    code = "root_exists"


@dataclass
class Rite:
    """One ceremony: what its steps have done so far."""

    layout: Layout
    plan: scripts.Plan
    requests: dict[str, CeremonyRequest]
    ledger: Ledger
    keys: RootKeys
    now: Callable[[], datetime]
    records: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)
    _acting: x509.Certificate | None = None

    def do(self, step: scripts.Step) -> None:
        """Do one step, if it is not done yet, and note it."""
        match step:
            case scripts.MakeRoot():
                noted = self._make_root(step)
            case scripts.UpdateRoot():
                noted = self._update_root(step)
            case scripts.Certify():
                noted = self._certify(step)
            case scripts.Revoke():
                noted = self._revoke(step)
            case scripts.PublishList():
                noted = self._list()
        time = clock.to_text(self.now())
        self.records.append({**msgspec.to_builtins(step), "time": time, **noted})

    def conclude(self) -> bytes:
        """Return the result's document, signed by each root whose key was used."""
        acting = self._root()
        self.keys.open(authority_of(acting))
        used = [one for at, one in self._roots().items() if self.keys.has_opened(at)]
        used.sort(key=lambda root: root != acting)
        signers = [
            (self._listing(root), self.keys.open(authority_of(root))) for root in used
        ]
        entries, head = self.ledger.newest()
        transcript = Transcript(
            plan=msgspec.json.decode(self.plan.text),
            plan_sha256=self.plan.sha256,
            people=list(self.plan.people),
            machine=_machine(),
            steps=self.records,
            entries=entries,
            head=head,
            ended=clock.to_text(self.now()),
            outputs=outputs_of([one for one, _ in signers], self.certificates),
        )
        return write_result(transcript, signers, self.certificates)

    def _make_root(self, step: scripts.MakeRoot) -> dict[str, Any]:
        root = self._made_now()
        if root is None and self._roots():
            raise RootExistsError("another plan has made the root here")
        if root is None:
            root = self._certify_itself(self.keys.first(), step.life)
        self._acting = root
        return {"root": fingerprint(root)}

    def _update_root(self, step: scripts.UpdateRoot) -> dict[str, Any]:
        new = self._made_now()
        old = self._find(besides=new)
        # By the people of before: they seal the new one too, and it signs what is done.
        self.keys.open(authority_of(old))
        if new is None:
            new = self._certify_itself(self.keys.following(self._roots()), step.life)
        self._acting = new
        noted = {"old_root": fingerprint(old), "root": fingerprint(new)}
        for name, of, by, seconds in (
            ("new_with_old", new, old, step.new_with_old),
            ("old_with_new", old, new, step.old_with_new),
        ):
            cross = self._cross(of, by, timedelta(seconds=seconds))
            self.certificates.append(cross)
            noted[name] = fingerprint(cross)
        return noted

    def _certify_itself(
        self, key: ec.EllipticCurvePublicKey, life: timedelta
    ) -> x509.Certificate:
        now = self.now()
        builder = profiles.root(
            key,
            trust_domain=self.plan.trust_domain,
            lifetime=life,
            now=now,
        )
        root = self._sign(builder, "root", key, None, now)
        write_atomically(self.layout.certificate("root"), pem(root))
        return root

    def _cross(
        self, of: x509.Certificate, by: x509.Certificate, life: timedelta
    ) -> x509.Certificate:
        made = find_cross(self.ledger, of=authority_of(of), by=authority_of(by))
        if made is not None and self._is_of_this_plan(made):
            return made
        now = self.now()
        builder = profiles.cross(of, issuer=by, lifetime=life, now=now)
        return self._sign(builder, "cross", profiles.key_of(of), by, now)

    def _certify(self, step: scripts.Certify) -> dict[str, Any]:
        request, root = self.requests[step.request], self._root()
        spki = spki_sha256(request.public_key)
        before = self.ledger.newest_issued("issuing", spki_sha256=spki)
        if before is not None and before.run_id == self.plan.run_id:
            certificate = certificate_of(before)
        else:
            now = self.now()
            builder = profiles.issuing_ca(
                request.public_key,
                trust_domain=request.trust_domain,
                permitted_dns=request.permitted_dns,
                issuer=root,
                lifetime=request.lifetime,
                now=now,
            )
            certificate = self._sign(builder, "issuing", request.public_key, root, now)
        self.certificates.append(certificate)
        return {"certificate": fingerprint(certificate), "key_sha256": spki}

    def _revoke(self, step: scripts.Revoke) -> dict[str, Any]:
        issuer = self._root().subject.rfc4514_string()  # all roots have one name
        issued = self.ledger.find(Event.ISSUED, issuer=issuer, serial=step.serial)
        if issued is None or issued.identity == "root":
            raise CeremonyError(f"no root has certified a CA of serial {step.serial}")
        by = self._roots()[signer_of(certificate_of(issued)) or ""]
        noted = {"certificate_was": issued.spki_sha256, "by": fingerprint(by)}
        key = self.keys.open(authority_of(by))
        if self.ledger.find(Event.REVOKED, issuer=issuer, serial=step.serial):
            return noted
        entry = replace(
            issued,
            event=Event.REVOKED,
            recorded_at=clock.to_text(self.now()),
            run_id=self.plan.run_id,
            certificate=None,
            reason=step.reason,
        )
        with self.ledger.transaction():
            self.ledger.append(entry)
            publish_lists(
                self.ledger, self._series(by), key, touched=[int(step.serial, 16)]
            )
        return noted

    def _list(self) -> dict[str, Any]:
        """Make the list of every root that lives and whose key is here."""
        roots = [
            root
            for authority, root in self._roots().items()
            if root.not_valid_after_utc > self.now()
            and (root == self._root() or self.keys.holds(authority))
        ]
        for root in roots:
            self._publish(root, touched=[0])
        return {"by": [fingerprint(root) for root in roots]}

    def _listing(self, root: x509.Certificate) -> Listing:
        """Return a root with its list, made anew if that is due."""
        self._publish(root)
        stored = self.ledger.published.crl(authority_of(root), "full")
        if stored is None:
            raise CeremonyError("the root has no list")
        return Listing(root, stored.der)

    def _publish(self, root: x509.Certificate, touched: Sequence[int] = ()) -> None:
        series, key = self._series(root), self.keys.open(authority_of(root))
        with self.ledger.transaction():
            publish_lists(self.ledger, series, key, touched=touched)

    def _series(self, root: x509.Certificate) -> Series:
        return Series(
            published=self.ledger.published, issuer=root, now=self.now(), by="root"
        )

    def _roots(self) -> dict[str, x509.Certificate]:
        return certificates(self.ledger, "root")

    def _root(self) -> x509.Certificate:
        """Return the root that acts."""
        if self._acting is None:
            self._acting = self._find()
        return self._acting

    def _find(self, besides: x509.Certificate | None = None) -> x509.Certificate:
        """Return the root that the plan names, or the newest one."""
        roots = [root for root in self._roots().values() if root != besides]
        if self.plan.root:
            roots = [one for one in roots if fingerprint(one) == self.plan.root]
        if not roots:
            raise RootMissingError(
                "the root that the plan names is not here"
                if self.plan.root
                else "there is no root here, and the plan makes none"
            )
        if not is_root_of(roots[-1], self.plan.trust_domain):
            raise CeremonyError(f"the root here is not one of {self.plan.trust_domain}")
        return roots[-1]

    def _made_now(self) -> x509.Certificate | None:
        """Return the root that this plan has made, if it has."""
        return next(filter(self._is_of_this_plan, self._roots().values()), None)

    def _is_of_this_plan(self, certificate: x509.Certificate) -> bool:
        issuer, serial = certificate.issuer, certificate.serial_number
        entry = self.ledger.find(
            Event.ISSUED, issuer=issuer.rfc4514_string(), serial=f"{serial:x}"
        )
        return entry is not None and entry.run_id == self.plan.run_id

    def _sign(
        self,
        builder: x509.CertificateBuilder,
        kind: str,
        key: ec.EllipticCurvePublicKey,
        issuer: x509.Certificate | None,
        now: datetime,
    ) -> x509.Certificate:
        order = place_order(
            builder,
            Holder(
                kind=kind,
                identity=kind,
                spiffe_id=trust_domain_uri(self.plan.trust_domain),
                spki_sha256=spki_sha256(key),
            ),
            issuer=issuer,
            now=now,
            run_id=self.plan.run_id,
        )
        authority = authority_of(issuer) if issuer else identifier_of(key)
        (certificate,) = sign_and_record(
            self.ledger, [order], self.keys.open(authority)
        )
        return certificate


def _machine() -> dict[str, str]:
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "openssl": backend.openssl_version_text(),
        "cryptography": version("cryptography"),
        "certbound": version("certbound"),
    }
