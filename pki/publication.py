"""All that is told of revocations: lists, OCSP answers, the ledger's signed head.

Whoever has opened the issuing key comes here, inside the transaction that gives the
reason: `authority` with new certificates, `withdrawal` with revoked ones. Entries,
lists, answers and head become durable together or not at all.
"""

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pki import keys, ocsp, profiles
from pki.crl_series import Series, publish_lists
from pki.entry import Entry
from pki.identity import trust_domain_uri
from pki.layout import Layout
from pki.ledger import Ledger
from pki.pointers import Addresses, authority_of, signer_of
from pki.published import Crl
from pki.request import spki_sha256
from pki.responder import IDENTITY, LIFETIME, Responder, read_responder
from pki.signing import Holder, place_order, sign_and_record, sign_head


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """An issuing CA with its key open, at one moment."""

    layout: Layout
    ledger: Ledger
    issuing: x509.Certificate
    trust_domain: str
    addresses: Addresses | None
    key: ec.EllipticCurvePrivateKey
    now: datetime
    run_id: str

    @property
    def series(self) -> Series:
        """Its lists."""
        return Series(
            published=self.ledger.published,
            issuer=self.issuing,
            now=self.now,
            addresses=self.addresses,
        )

    def prepare(self) -> Responder | None:
        """Return who signs answers, newly certified if due; None without addresses.

        Not inside a transaction: a certificate is planned before it is signed.
        """
        if self.addresses is None:
            return None
        path = self.layout.responder(authority_of(self.issuing))
        present = read_responder(path)
        if present and not present.is_due(authority_of(self.issuing), self.now):
            return present
        key = keys.make_key()
        builder = profiles.responder(
            key.public_key(),
            trust_domain=self.trust_domain,
            issuer=self.issuing,
            lifetime=LIFETIME,
            now=self.now,
        )
        holder = Holder(
            kind="responder",
            identity=IDENTITY,
            spiffe_id=trust_domain_uri(self.trust_domain),
            spki_sha256=spki_sha256(key.public_key()),
        )
        order = place_order(
            builder, holder, issuer=self.issuing, now=self.now, run_id=self.run_id
        )
        (certificate,) = sign_and_record(self.ledger, [order], self.key)
        made = Responder(key, certificate)
        made.write(path)
        return made

    def publish(
        self,
        responder: Responder | None,
        *,
        issued: Iterable[int] = (),
        revoked: Iterable[int] = (),
    ) -> list[Crl]:
        """Store, for serials that were just issued or revoked, all that follows.

        The caller holds the transaction, and has appended the entries.
        """
        revoked = list(revoked)
        made = publish_lists(self.ledger, self.series, self.key, touched=revoked)
        if responder:
            for serial in (*issued, *revoked):
                self.answer(responder, serial)
        sign_head(self.ledger, self.key, self.now)
        return made

    def answer(self, responder: Responder, serial: int) -> None:
        """Store the answers on one certificate."""
        standing = ocsp.standing_of(self.ledger, self.issuing, serial)
        for answer in ocsp.sign_in_advance(responder, self.issuing, standing, self.now):
            self.ledger.published.put_answer(answer)


def answers_due(ledger: Ledger, issuing: x509.Certificate, now: datetime) -> list[int]:
    """Return the serials whose answers are missing or half through their life."""
    half_ago = now - ocsp.LIFETIME / 2
    return [
        int(entry.serial, 16)
        for entry in ledger.unanswered(after=now, since=half_ago)
        if _signer(entry) == authority_of(issuing)
    ]


def _signer(entry: Entry) -> str | None:
    if entry.authority:
        return entry.authority
    # The first release did not write it down.
    der = b64decode(entry.certificate or "")
    return signer_of(x509.load_der_x509_certificate(der))
