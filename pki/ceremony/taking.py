"""The CA's host, whose root is offline, takes home what a ceremony gave.

The root's certificate, the issuing CA's, the root's list go into the ledger. From then
on the CA goes on as any whose root key is kept elsewhere. Nothing is taken unless a
person has said the root's fingerprint, as it was read aloud in the ceremony; another
root than that of this CA also has to be waited for by a rotation, and vouched for by
the root of this CA.
"""

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki import clock
from pki.ceremony.asking import check_offline
from pki.ceremony.checking import NotForUsError, check_fingerprint, check_result
from pki.ceremony.result import (
    Result,
    ResultError,
    read_result,
)
from pki.database import create_ledger
from pki.entry import Entry, Event, Reason
from pki.identity import trust_domain_uri
from pki.inspection import is_written, pem, recorded
from pki.keyring import has_key
from pki.layout import Layout
from pki.ledger import Ledger, open_ledger
from pki.pointers import authority_of, signer_of
from pki.policy import Policy, read_policy
from pki.present import certificate_of, certificates, find_present
from pki.published import Crl
from pki.request import spki_sha256
from pki.revocation_list import RevocationList, verify_list
from pki.rotation_steps import Generation, Phase, Step, append_step
from pki.signing import check_clock
from pki.storage import check_private, exclusive, write_atomically

_Given = tuple[str, x509.Certificate]  # a kind, as the ledger has it


@dataclass(frozen=True, slots=True)
class Taken:
    """What was new: kinds of certificates, the list, revocations of issuing CAs."""

    certificates: tuple[str, ...]
    listed: bool
    revoked: tuple[str, ...]
    follows: bool = False  # the root is the one that a rotation waited for

    @property
    def changed(self) -> bool:
        """Whether anything was."""
        return bool(self.certificates or self.listed or self.revoked or self.follows)


def take(
    layout: Layout,
    document: bytes,
    *,
    root_sha256: str,
    run_id: str,
    now: Callable[[], datetime] = clock.utc_now,
) -> Taken:
    """Record what a ceremony gave, in one transaction; the same again changes nothing.

    1. The result is whole, and signed by its roots (`read_result`).
    2. The root that acted has the fingerprint which a person has said.
    3. It is of our trust domain, and every certificate and list keeps the rules.
    4. This CA knows that root; or it has none, and one of the certificates is for its
       key; or a rotation waits for the next, one of the certificates is for its new
       key, and the root of this CA signed as well.
    5. Each list is current, and newer than the one here or that very one.

    Of what other roots gave, that is taken which this CA knows.

    Raises:
        ResultError: 1, 2 or 4 does not hold; the subclass says which.
        LintError, RevocationListError: 3 or 5 does not hold.
        ClockBehindError: the clock is behind the newest entry of the ledger.
    """
    result = read_result(document)  # 1
    check_fingerprint(result.root, root_sha256)  # 2
    check_private(layout.directory)
    with exclusive(layout.lock):
        check_offline(layout)
        policy = read_policy(layout.policy.read_bytes())
        lists = check_result(result, policy)  # 3
        create_ledger(layout.ledger)
        with open_ledger(layout.ledger) as ledger:
            check_clock(ledger, now())
            desk = _Intake(layout, policy, result, lists, ledger, run_id, now())
            return desk.take()


@dataclass
class _Intake:
    """One result, and the CA that takes it."""

    layout: Layout
    policy: Policy
    result: Result
    lists: dict[x509.Certificate, tuple[RevocationList, bytes]]
    ledger: Ledger
    run_id: str
    now: datetime

    def take(self) -> Taken:
        root, known = self.result.root, [*certificates(self.ledger, "root").values()]
        roots = [one for one in self.lists if one == root or one in known]
        ours = self._ours(roots)
        step = self._waiting(ours)
        if not known and not ours:  # 4
            raise NotForUsError("none of the certificates is for the issuing key here")
        if known and root not in known:
            self._check_follows(step)
        fresh = [
            (kind, certificate)
            for kind, certificate in [("root", root), *ours]
            if not self._is_known(certificate)
        ]
        crls = [crl for one in roots if (crl := self._newer_list(one))]  # 5
        with self.ledger.transaction():
            for kind, certificate in fresh:
                for entry in self._entries(kind, certificate):
                    self.ledger.append(entry)
            revoked = [entry for one in roots for entry in self._revocations(one)]
            for entry in revoked:
                self.ledger.append(entry)
            if step is not None:
                self._follow(step)
            covers, _ = self.ledger.newest()
            for crl in crls:
                self.ledger.published.put_crl(replace(crl, covers=covers))
        for kind in ("root", "issuing"):
            standing = recorded(self.ledger, kind)
            if standing and not is_written(self.layout, kind, standing):
                write_atomically(self.layout.certificate(kind), pem(standing))
        return Taken(
            certificates=tuple(kind for kind, _ in fresh),
            listed=bool(crls),
            revoked=tuple(entry.serial for entry in revoked),
            follows=step is not None,
        )

    def _ours(self, roots: Sequence[x509.Certificate]) -> list[_Given]:
        """Return what `roots` gave to a key of this CA, and to one another.

        A key may be one of a rotation.
        """
        keys = [root.public_key() for root in roots]
        found = []
        for one in self.result.certificates:
            if self.result.issuer_of(one) not in roots:
                continue
            if one.public_key() in keys:
                found.append(("cross", one))
            elif has_key(self.layout, "issuing", one):
                found.append(("issuing", one))
        return found

    def _waiting(self, ours: Sequence[_Given]) -> Step | None:
        """Return the step of a rotation that waits for the root that acted."""
        standing = find_present(self.ledger)
        step = standing.rotation if standing else None
        if step is None or step.phase is not Phase.PREPARING or step.after.root:
            return None
        given = {
            authority_of(one)
            for _, one in ours
            if self.result.issuer_of(one) == self.result.root
        }
        is_other = step.before.root != authority_of(self.result.root)
        return step if is_other and step.after.issuing in given else None

    def _check_follows(self, step: Step | None) -> None:
        if step is None:
            raise NotForUsError(
                "this CA has another root: a rotation of the root takes the next, with"
                " a certificate for its new issuing key"
            )
        if recorded(self.ledger, "root") not in self.lists:
            raise NotForUsError("the root of this CA does not vouch for the next")

    def _follow(self, step: Step) -> None:
        """Let the rotation go on to the root that acted; the caller writes."""
        after = Generation(
            root=authority_of(self.result.root), issuing=step.after.issuing
        )
        append_step(
            self.ledger,
            replace(step, after=after),
            now=self.now,
            run_id=self.run_id,
            spiffe_id=trust_domain_uri(self.policy.trust_domain),
        )

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
            authority=signer_of(certificate),
        )
        der = certificate.public_bytes(serialization.Encoding.DER)
        yield planned
        yield replace(planned, event=Event.ISSUED, certificate=b64encode(der).decode())

    def _revocations(self, root: x509.Certificate) -> Iterator[Entry]:
        """Yield what a root's list takes back and this ledger does not know."""
        _, der = self.lists[root]
        crl = x509.load_der_x509_crl(der)
        for kind in ("issuing", "cross"):
            for issued in list(self.ledger.entries_of(kind, Event.ISSUED)):
                stated = crl.get_revoked_certificate_by_serial_number(
                    int(issued.serial, 16)
                )
                if (
                    stated is None
                    or signer_of(certificate_of(issued)) != authority_of(root)
                    or self.ledger.find(
                        Event.REVOKED, issuer=issued.issuer, serial=issued.serial
                    )
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

    def _newer_list(self, root: x509.Certificate) -> Crl | None:
        listed, der = self.lists[root]
        authority = authority_of(root)
        before = self.ledger.published.crl(authority, "full")
        if before is not None and before.der == der:
            return None
        listed.check_current(self.now)
        if before is not None:
            listed.check_follows(verify_list(before.der, root))
        return Crl(
            authority=authority,
            scope="full",
            number=listed.number,
            covers=0,
            this_update=clock.to_text(listed.this_update),
            next_update=clock.to_text(listed.next_update),
            der=der,
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
