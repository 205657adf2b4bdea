"""The steps of a ceremony, one after the other, with the root's key in hand.

`hall` brings a plan here. Each step does what is not done yet and says what there is
then; certificates go the way of `signing` (lint, plan, signature, record).
"""

import platform
from base64 import b64decode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, keys, profiles, shared_key
from pki.ceremony import plan as scripts
from pki.ceremony.request import CeremonyRequest
from pki.ceremony.result import (
    Transcript,
    fingerprint,
    is_root_of,
    outputs_of,
    write_result,
)
from pki.crl_series import Series, publish_lists
from pki.entry import Entry, Event
from pki.envelope import Cost
from pki.errors import PkiError
from pki.identity import trust_domain_uri
from pki.inspection import pem, recorded
from pki.layout import Layout
from pki.ledger import Ledger
from pki.pointers import authority_of
from pki.request import spki_sha256
from pki.signing import Holder, place_order, sign_and_record
from pki.storage import write_atomically


class CeremonyError(PkiError):
    """The plan does not fit what is there."""

    code = "ceremony_refused"


class RootMissingError(CeremonyError):
    """There is no root here yet, and the plan makes none."""

    code = "root_missing"


class RootExistsError(CeremonyError):
    """The plan makes a root, and another plan has made one here."""

    code = "root_exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """How to get the passphrase of each; asked for only when the key is needed."""

    first: Callable[[], bytes]
    second: Callable[[], bytes]


@dataclass
class Rite:
    """One ceremony: the root's key is opened at most once, and signs here alone."""

    layout: Layout
    plan: scripts.Plan
    requests: dict[str, CeremonyRequest]
    ledger: Ledger
    people: People
    now: Callable[[], datetime]
    cost: Cost
    records: list[dict[str, Any]] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list)
    _key: ec.EllipticCurvePrivateKey | None = None

    def do(self, step: scripts.Step) -> None:
        """Do one step, if it is not done yet, and note it."""
        match step:
            case scripts.MakeRoot():
                noted = self._make_root(step)
            case scripts.Certify():
                noted = self._certify(step)
            case scripts.Revoke():
                noted = self._revoke(step)
            case scripts.PublishList():
                noted = {}
                self._publish(touched=[0])
        time = clock.to_text(self.now())
        self.records.append({**msgspec.to_builtins(step), "time": time, **noted})

    def conclude(self) -> bytes:
        """Return the result's document."""
        root, key = self._root(), self._opened()
        self._publish()
        stored = self.ledger.published.crl(authority_of(root), "full")
        if stored is None:
            raise CeremonyError("the root has no list")
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
            outputs=outputs_of(root, self.certificates, stored.der),
        )
        return write_result(
            transcript, key, root=root, certificates=self.certificates, crl=stored.der
        )

    def _make_root(self, step: scripts.MakeRoot) -> dict[str, Any]:
        root = recorded(self.ledger, "root")
        if root is None:
            key, now = self._opened(make=True), self.now()
            builder = profiles.root(
                key.public_key(),
                trust_domain=self.plan.trust_domain,
                lifetime=step.life,
                now=now,
            )
            root = self._sign(builder, key.public_key(), "root", None, now)
            write_atomically(self.layout.certificate("root"), pem(root))
        elif next(self.ledger.entries_of("root", Event.ISSUED)).run_id != (
            self.plan.run_id
        ):
            raise RootExistsError("another plan has made the root here")
        return {"root": fingerprint(root)}

    def _certify(self, step: scripts.Certify) -> dict[str, Any]:
        request, root = self.requests[step.request], self._root()
        spki = spki_sha256(request.public_key)
        before = self.ledger.newest_issued("issuing", spki_sha256=spki)
        if before is not None and before.run_id == self.plan.run_id:
            certificate = _certificate_of(before)
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
            certificate = self._sign(builder, request.public_key, "issuing", root, now)
        self.certificates.append(certificate)
        return {"certificate": fingerprint(certificate), "key_sha256": spki}

    def _revoke(self, step: scripts.Revoke) -> dict[str, Any]:
        root = self._root()
        issuer = root.subject.rfc4514_string()
        issued = self.ledger.find(Event.ISSUED, issuer=issuer, serial=step.serial)
        if issued is None or issued.identity == "root":
            raise CeremonyError(f"the root has certified no CA of serial {step.serial}")
        if self.ledger.find(Event.REVOKED, issuer=issuer, serial=step.serial):
            return {"before": True}
        entry = replace(
            issued,
            event=Event.REVOKED,
            recorded_at=clock.to_text(self.now()),
            run_id=self.plan.run_id,
            certificate=None,
            reason=step.reason,
        )
        key = self._opened()
        with self.ledger.transaction():
            self.ledger.append(entry)
            publish_lists(
                self.ledger, self._series(root), key, touched=[int(step.serial, 16)]
            )
        return {"certificate_was": issued.spki_sha256}

    def _publish(self, touched: Sequence[int] = ()) -> None:
        series, key = self._series(self._root()), self._opened()
        with self.ledger.transaction():
            publish_lists(self.ledger, series, key, touched=touched)

    def _series(self, root: x509.Certificate) -> Series:
        return Series(
            published=self.ledger.published, issuer=root, now=self.now(), by="root"
        )

    def _root(self) -> x509.Certificate:
        root = recorded(self.ledger, "root")
        if root is None:
            raise RootMissingError("there is no root here, and the plan makes none")
        if not is_root_of(root, self.plan.trust_domain):
            raise CeremonyError(f"the root here is not one of {self.plan.trust_domain}")
        return root

    def _opened(self, *, make: bool = False) -> ec.EllipticCurvePrivateKey:
        if self._key is None:
            path = self.layout.sealed_key("root")
            if make and not path.exists():
                key = keys.make_key()
                sealed = shared_key.seal(
                    key,
                    self.people.first(),
                    self.people.second(),
                    purpose="root",
                    cost=self.cost,
                )
                write_atomically(path, sealed)
            if not path.exists():
                raise RootMissingError(f"{path}, the root's key, is gone: put it back")
            self._key = shared_key.unseal(
                keys.read_sealed(path),
                self.people.first(),
                self.people.second(),
                purpose="root",
            )
        return self._key

    def _sign(
        self,
        builder: x509.CertificateBuilder,
        key: ec.EllipticCurvePublicKey,
        kind: str,
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
        (certificate,) = sign_and_record(self.ledger, [order], self._opened())
        return certificate


def _machine() -> dict[str, str]:
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "openssl": backend.openssl_version_text(),
        "cryptography": version("cryptography"),
        "certbound": version("certbound"),
    }


def _certificate_of(entry: Entry) -> x509.Certificate:
    return x509.load_der_x509_certificate(b64decode(entry.certificate or ""))
