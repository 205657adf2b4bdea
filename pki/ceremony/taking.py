"""The CA's host, whose root is offline, takes home what a ceremony gave.

The root's certificate, the issuing CA's, the root's list go into the ledger. From then
on the CA goes on as any whose root key is kept elsewhere. Nothing is taken unless a
person has said the root's fingerprint, as it was read aloud in the ceremony.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock, lint, lint_crl
from pki.ceremony.asking import check_offline
from pki.ceremony.result import (
    Result,
    ResultError,
    fingerprint,
    grouped,
    is_root_of,
    read_result,
)
from pki.database import create_ledger
from pki.entry import Entry, Event, Reason
from pki.identity import trust_domain_uri
from pki.inspection import is_written, pem, recorded
from pki.keyring import has_key
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.pointers import authority_of
from pki.policy import Policy, read_policy
from pki.published import Crl
from pki.request import spki_sha256
from pki.revocation_list import RevocationList, verify_list
from pki.signing import check_clock
from pki.storage import check_private, exclusive, write_atomically


class FingerprintError(ResultError):
    """The root is not the one whose fingerprint was said."""

    code = "wrong_fingerprint"


class NotForUsError(ResultError):
    """It certifies no key of this CA, or under another root than this CA's."""

    code = "ceremony_not_ours"


@dataclass(frozen=True, slots=True)
class Taken:
    """What was new: kinds of certificates, the list, revocations of issuing CAs."""

    certificates: tuple[str, ...]
    listed: bool
    revoked: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything was."""
        return bool(self.certificates or self.listed or self.revoked)


def take(
    layout: Layout,
    document: bytes,
    *,
    root_sha256: str,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Taken:
    """Record what a ceremony gave, in one transaction; the same again changes nothing.

    1. The result is whole, and signed by its root (`read_result`).
    2. That root has the fingerprint which a person has said.
    3. It is of our trust domain, and every certificate and list keeps the rules.
    4. This CA has no other root, and one of the certificates is for its key.
    5. The list is current, and newer than the one here or that very one.

    Raises:
        ResultError: 1, 2 or 4 does not hold; the subclass says which.
        LintError, RevocationListError: 3 or 5 does not hold.
        ClockBehindError: the clock is behind the newest entry of the ledger.
    """
    result = read_result(document)  # 1
    said = re.sub(r"[\s:]", "", root_sha256).lower()
    if fingerprint(result.root) != said:  # 2
        raise FingerprintError(
            f"the result's root has the fingerprint {grouped(fingerprint(result.root))}"
        )
    check_private(layout.directory)
    with exclusive(layout.lock):
        check_offline(layout)
        policy = read_policy(layout.policy.read_bytes())
        listed = _check(result, policy)  # 3
        create_ledger(layout.ledger)
        with open_ledger(layout.ledger) as ledger:
            check_clock(ledger, now())
            desk = _Intake(layout, policy, result, listed, ledger, run_id, now())
            return desk.take()


def _check(result: Result, policy: Policy) -> RevocationList:
    root = result.root
    try:
        root.verify_directly_issued_by(root)
        for one in result.certificates:
            one.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ResultError(f"the root did not sign all of it: {error}") from error
    lint.check_certificate(root, kind="root", issuer=None)
    for one in result.certificates:
        lint.check_certificate(one, kind="issuing", issuer=root)
    if not is_root_of(root, policy.trust_domain):
        raise NotForUsError(f"the root is not one of {policy.trust_domain}")
    crl = x509.load_der_x509_crl(result.crl)
    lint_crl.check_crl(crl, kind="full", by="root", issuer=root)
    return verify_list(result.crl, root)


@dataclass
class _Intake:
    """One result, and the CA that takes it."""

    layout: Layout
    policy: Policy
    result: Result
    listed: RevocationList
    ledger: Ledger
    run_id: str
    now: datetime

    def take(self) -> Taken:
        known = recorded(self.ledger, "root")
        ours = self._ours()
        if known is not None and known != self.result.root:  # 4
            raise NotForUsError("this CA has another root: that is for a rotation")
        if known is None and not ours:
            raise NotForUsError("none of the certificates is for the issuing key here")
        wanted = [("root", self.result.root), *(("issuing", one) for one in ours)]
        fresh = [pair for pair in wanted if not self._is_known(pair[1])]
        crl = self._newer_list()  # 5
        with self.ledger.transaction():
            for kind, certificate in fresh:
                for entry in self._entries(kind, certificate):
                    self.ledger.append(entry)
            revoked = list(self._revocations())
            for entry in revoked:
                self.ledger.append(entry)
            if crl is not None:
                covers, _ = self.ledger.newest()
                self.ledger.published.put_crl(replace(crl, covers=covers))
        for kind in ("root", "issuing"):
            standing = recorded(self.ledger, kind)
            if standing and not is_written(self.layout, kind, standing):
                write_atomically(self.layout.certificate(kind), pem(standing))
        return Taken(
            certificates=tuple(kind for kind, _ in fresh),
            listed=crl is not None,
            revoked=tuple(entry.serial for entry in revoked),
        )

    def _ours(self) -> list[x509.Certificate]:
        """Return those for a key of this CA, be it one of a rotation."""
        return [
            one
            for one in self.result.certificates
            if has_key(self.layout, "issuing", one)
        ]

    def _is_known(self, certificate: x509.Certificate) -> bool:
        issuer, serial = _named(certificate)
        found = self.ledger.find(Event.ISSUED, issuer=issuer, serial=serial)
        return found is not None

    def _entries(self, kind: str, certificate: x509.Certificate) -> Iterator[Entry]:
        issuer, serial = _named(certificate)
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ResultError("a CA's key is not on an elliptic curve")
        planned = Entry(
            event=Event.PLANNED,
            recorded_at=clock.to_text(self.now),
            run_id=self.run_id,
            issuer=issuer,
            serial=serial,
            identity=kind,
            spiffe_id=trust_domain_uri(self.policy.trust_domain),
            spki_sha256=spki_sha256(key),
            not_before=clock.to_text(certificate.not_valid_before_utc),
            not_after=clock.to_text(certificate.not_valid_after_utc),
            authority=authority_of(self.result.root),
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        yield planned
        yield replace(planned, event=Event.ISSUED, certificate=b64encode(der).decode())

    def _revocations(self) -> Iterator[Entry]:
        """Yield what the root's list takes back and this ledger does not know."""
        crl = x509.load_der_x509_crl(self.result.crl)
        for issued in list(self.ledger.entries_of("issuing", Event.ISSUED)):
            stated = crl.get_revoked_certificate_by_serial_number(
                int(issued.serial, 16)
            )
            if stated is None or self.ledger.find(
                Event.REVOKED, issuer=issued.issuer, serial=issued.serial
            ):
                continue
            yield replace(
                issued,
                event=Event.REVOKED,
                recorded_at=clock.to_text(self.now),
                run_id=self.run_id,
                certificate=None,
                reason=_reason(stated),
            )

    def _newer_list(self) -> Crl | None:
        authority = authority_of(self.result.root)
        before = self.ledger.published.crl(authority, "full")
        if before is not None and before.der == self.result.crl:
            return None
        self.listed.check_current(self.now)
        if before is not None:
            self.listed.check_follows(verify_list(before.der, self.result.root))
        return Crl(
            authority=authority,
            scope="full",
            number=self.listed.number,
            covers=0,
            this_update=clock.to_text(self.listed.this_update),
            next_update=clock.to_text(self.listed.next_update),
            der=self.result.crl,
        )


def _named(certificate: x509.Certificate) -> tuple[str, str]:
    """Return issuer and serial, as the ledger writes them."""
    return certificate.issuer.rfc4514_string(), f"{certificate.serial_number:x}"


def _reason(entry: x509.RevokedCertificate) -> Reason:
    try:
        stated = entry.extensions.get_extension_for_class(x509.CRLReason)
    except x509.ExtensionNotFound:
        return Reason.UNSPECIFIED
    return Reason(stated.value.reason.value)
