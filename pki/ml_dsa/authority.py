"""The parallel CA: an ML-DSA root and issuing CA beside those that everybody uses.

`python -m pki ml-dsa` comes here. Nobody trusts this root in a handshake, no host gets
a statement, and the CA's front never opens these keys: `sign` makes statements in a
batch, later, for what the ledger has issued. Before it vouches for a certificate it
has verified the ledger and the issuing CA's own signature.

As in `founding`, each step leaves what the next run goes on from: a key is on the disk
before anything is signed with it, a certificate in the ledger before it is a file.
"""

from base64 import b64decode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from pki import clock, envelope
from pki.entry import Entry, Event
from pki.errors import PkiError
from pki.identity import trust_domain_uri
from pki.inspection import KeyLostError, WrongKeyError, is_written, pem
from pki.keys import read_sealed
from pki.layout import Layout, NoAuthorityError
from pki.ledger import Ledger, open_ledger
from pki.ml_dsa import keys, profiles
from pki.ml_dsa.statement import ISSUING, ROOT, identity_of, statement_on
from pki.pointers import authority_of, signer_of
from pki.policy import Policy, read_policy
from pki.present import newest
from pki.signing import Holder, Order, place_order, sign_and_record
from pki.storage import exclusive, write_atomically

_BATCH = 500  # statements, a second or two; the CA can issue between two batches


class ForeignCertificateError(PkiError):
    """The ledger has a certificate that no issuing CA in it has signed."""

    code = "foreign_certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrases:
    """How to get each passphrase, called only when it is needed."""

    root: Callable[[], bytes]
    issuing: Callable[[], bytes]


@dataclass
class ParallelCa:
    """The parallel CA in one directory, at one moment."""

    layout: Layout
    passphrases: Passphrases
    run_id: str
    now: Callable[[], datetime] = clock.utc_now
    cost: envelope.Cost = envelope.RECOMMENDED

    def found(self) -> bool:
        """Make what is missing; return whether anything was.

        The issuing CA gets another certificate for its key when half of the present
        one's life is over. The root's key is opened only to certify.

        Raises:
            NoAuthorityError: there is no CA in the directory.
            KeyLostError, WrongKeyError: a key is not that of its certificate.
            SealedKeyError: a passphrase is weak (for a new key) or wrong.
        """
        self.layout.check_complete()
        with exclusive(self.layout.lock), open_ledger(self.layout.ledger) as ledger:
            policy = read_policy(self.layout.policy.read_bytes())
            root = before = newest(ledger, ROOT)
            issuing = newest(ledger, ISSUING)
            made = issuing is None or _is_over_half(issuing, self.now())
            if root is None or issuing is None or made:
                key = self._key(ROOT, self.passphrases.root, before)
                root = root or self._certify_root(ledger, policy, key)
                own = self._key(ISSUING, self.passphrases.issuing, issuing)
                issuing = self._certify_issuing(ledger, policy, own, root, key)
            for purpose, certificate in ((ROOT, root), (ISSUING, issuing)):
                if not is_written(self.layout, purpose, certificate):
                    path = self.layout.certificate(purpose)
                    write_atomically(path, pem(certificate))
                    made = True
            return made

    def sign(self) -> int:
        """Make the statements that are missing, and return how many.

        Raises:
            NoAuthorityError: there is no parallel CA.
            BrokenLedgerError: the ledger does not verify.
            ForeignCertificateError: it has a certificate of somebody else's.
            KeyLostError, WrongKeyError, SealedKeyError: the key cannot be used.
        """
        self.layout.check_complete()
        with open_ledger(self.layout.ledger) as ledger:
            ledger.verify()
            issuing = issuing_of(ledger)
            due = missing(ledger, issuing, self.now())
        if not due:
            return 0
        key = self._key(ISSUING, self.passphrases.issuing, issuing)
        for begin in range(0, len(due), _BATCH):
            with exclusive(self.layout.lock), open_ledger(self.layout.ledger) as ledger:
                orders = [
                    self._order(ledger, entry, issuing)
                    for entry in due[begin : begin + _BATCH]
                ]
                sign_and_record(ledger, orders, key)
        return len(due)

    def _order(self, ledger: Ledger, entry: Entry, issuing: x509.Certificate) -> Order:
        certificate = _certificate(entry)
        _check_signed_by_us(ledger, certificate)
        holder = Holder(
            kind="service",
            identity=identity_of(entry.spki_sha256),
            spiffe_id=entry.spiffe_id,
            spki_sha256=entry.spki_sha256,
        )
        return place_order(
            profiles.statement(certificate, issuing),
            holder,
            issuer=issuing,
            now=self.now(),
            run_id=self.run_id,
        )

    def _certify_root(
        self, ledger: Ledger, policy: Policy, key: keys.PrivateKey
    ) -> x509.Certificate:
        builder = profiles.root(
            key.public_key(),
            trust_domain=policy.trust_domain,
            lifetime=policy.root_lifetime,
            now=self.now(),
        )
        return self._certify(ledger, builder, key, None, key)

    def _certify_issuing(
        self,
        ledger: Ledger,
        policy: Policy,
        own: keys.PrivateKey,
        root: x509.Certificate,
        root_key: keys.PrivateKey,
    ) -> x509.Certificate:
        builder = profiles.issuing_ca(
            own.public_key(),
            trust_domain=policy.trust_domain,
            permitted_dns=policy.permitted_dns,
            issuer=root,
            lifetime=policy.issuing_lifetime,
            now=self.now(),
        )
        return self._certify(ledger, builder, own, root, root_key)

    def _certify(
        self,
        ledger: Ledger,
        builder: x509.CertificateBuilder,
        subject: keys.PrivateKey,
        issuer: x509.Certificate | None,
        by: keys.PrivateKey,
    ) -> x509.Certificate:
        purpose = ROOT if issuer is None else ISSUING
        policy = read_policy(self.layout.policy.read_bytes())
        holder = Holder(
            kind=purpose,
            identity=purpose,
            spiffe_id=trust_domain_uri(policy.trust_domain),
            spki_sha256=keys.spki_sha256(subject.public_key()),
        )
        order = place_order(
            builder, holder, issuer=issuer, now=self.now(), run_id=self.run_id
        )
        (certificate,) = sign_and_record(ledger, [order], by)
        return certificate

    def _key(
        self,
        purpose: str,
        passphrase: Callable[[], bytes],
        certificate: x509.Certificate | None,
    ) -> keys.PrivateKey:
        """Return the key for a purpose: opened, or made if it never had a certificate.

        Raises:
            KeyLostError, WrongKeyError: it is not that of `certificate`.
        """
        path = self.layout.sealed_key(purpose)
        if not path.exists():
            if certificate is not None:
                raise KeyLostError(f"{path} is needed to sign: put it back")
            key, sealed = keys.make(purpose, passphrase(), cost=self.cost)
            write_atomically(path, sealed)
            return key
        key = keys.unseal(read_sealed(path), passphrase(), purpose=purpose)
        if certificate is not None and certificate.public_key() != key.public_key():
            raise WrongKeyError(f"{path} is not the key of the {purpose} certificate")
        return key


def issuing_of(ledger: Ledger) -> x509.Certificate:
    """Return the issuing CA that makes statements.

    Raises:
        NoAuthorityError: there is none.
    """
    found = newest(ledger, ISSUING)
    if found is None:
        raise NoAuthorityError("there is no parallel CA: python -m pki ml-dsa init")
    return found


def missing(ledger: Ledger, issuing: x509.Certificate, now: datetime) -> list[Entry]:
    """Return the certificates of services that live, and have no statement yet."""
    return [
        entry
        for entry in ledger.issued(after=now)
        if "@" in entry.identity
        and not ledger.find(Event.REVOKED, issuer=entry.issuer, serial=entry.serial)
        and statement_on(ledger, entry, issuing) is None
    ]


def _is_over_half(certificate: x509.Certificate, now: datetime) -> bool:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begins + (ends - begins) / 2


def _check_signed_by_us(ledger: Ledger, certificate: x509.Certificate) -> None:
    """Check that a certificate is what one of the ledger's issuing CAs has signed."""
    for entry in ledger.entries_of("issuing", Event.ISSUED):
        issuing = _certificate(entry)
        if authority_of(issuing) == signer_of(certificate):
            with suppress(InvalidSignature, ValueError, TypeError):
                certificate.verify_directly_issued_by(issuing)
                return
    raise ForeignCertificateError(
        f"no issuing CA of the ledger has signed serial {certificate.serial_number:x}"
    )


def _certificate(entry: Entry) -> x509.Certificate:
    return x509.load_der_x509_certificate(b64decode(entry.certificate or ""))
