"""What a statement of the parallel CA proves, and where the ledger has it.

Whoever holds the parallel root's certificate from an earlier day can verify, far from
the CA and when ECDSA can be forged, that the CA vouched for a key and its names. What
that does not prove: that the certificate was not revoked, or when the statement was
made; nor anything about who uses the key, which is P-256 itself. It is evidence about
the past, and no authentication.

This file loads no key and nothing that signs.
"""

from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from pki import clock
from pki.entry import Entry
from pki.errors import PkiError
from pki.identity import IdentityError, Names, names_of, trust_domain_uri
from pki.ledger import Ledger
from pki.trust import OtherTrustDomainError, TrustBundle, verify_chain

ROOT, ISSUING = "ml-dsa-root", "ml-dsa-issuing"  # keys, and as what the ledger has them
_SAFE = {  # ML-DSA-44, -65, -87 (RFC 9881, section 2)
    x509.ObjectIdentifier(f"2.16.840.1.101.3.4.3.{last}") for last in (17, 18, 19)
}


class StatementError(PkiError):
    """It does not prove what it is shown for."""

    code = "statement_refused"


class QuantumUnsafeError(StatementError):
    """A signature above the key is of a kind that a quantum computer can forge."""

    code = "quantum_unsafe"


class OtherCertificateError(StatementError):
    """The statement is about another certificate than the one beside it."""

    code = "other_certificate"


class NoStatementError(StatementError):
    """There is none."""

    code = "no_statement"


@dataclass(frozen=True, slots=True)
class Vouched:
    """What a CA has vouched for; only `verify_statement` makes it."""

    names: Names
    statement: x509.Certificate


def verify_statement(
    presented: Sequence[x509.Certificate],
    root: x509.Certificate,
    *,
    at: datetime,
    certificate: x509.Certificate | None = None,
) -> Vouched:
    """Return what `root` has vouched for, by a statement and its issuing CA.

    1. There is something, and every signature is ML-DSA, the root's own among them.
    2. The chain is trusted at the moment `at`, as `trust.verify_chain` has it, and the
       root speaks for the trust domain.
    3. It is about `certificate`, if there is one: same key, names and time.

    Raises:
        NoStatementError, QuantumUnsafeError: 1.
        TrustError, IdentityError: 2.
        OtherCertificateError: 3.
    """
    if not presented:
        raise NoStatementError("no certificate is shown")
    for one in (*presented, root):
        if one.signature_algorithm_oid not in _SAFE:
            raise QuantumUnsafeError(
                f"serial {one.serial_number:x} is signed by "
                f"{one.signature_algorithm_oid.dotted_string}"
            )
    domain = names_of(presented[0]).spiffe_id.trust_domain
    if not _speaks_for(root, domain):
        raise OtherTrustDomainError(f"the root does not speak for {domain}")
    verified = verify_chain(presented, TrustBundle(domain, (root,)), now=at)
    if certificate is not None:
        _check_same(presented, certificate)
    return Vouched(verified.names, verified.certificate)


def identity_of(spki_sha256: str) -> str:
    """Return what the ledger files a statement under: the key that it is about.

    Not the identity itself, whose newest certificate is to be found as ever.
    """
    return f"statement:{spki_sha256}"


def end_of_statement(
    certificate: x509.Certificate, issuer: x509.Certificate
) -> datetime:
    """Return when the statement of `issuer` on a certificate ends."""
    return min(certificate.not_valid_after_utc, issuer.not_valid_after_utc)


def statement_on(
    ledger: Ledger, issued: Entry, issuing: x509.Certificate
) -> Entry | None:
    """Return the ledger's statement by `issuing` on a certificate, if there is one."""
    found = ledger.newest_issued(identity_of(issued.spki_sha256))
    ends = end_of_statement(_certificate(issued), issuing)
    return found if found and found.not_after == clock.to_text(ends) else None


def shown(ledger: Ledger, identity: str) -> str:
    """Return the statement on an identity's newest certificate and who made it, in PEM.

    Raises:
        NoStatementError: there is no such certificate, or no statement on it yet.
    """
    issued, issuing = ledger.newest_issued(identity), ledger.newest_issued(ISSUING)
    if issued is None:
        raise NoStatementError(f"{identity!r} had no certificate")
    if issuing is None:
        raise NoStatementError("there is no parallel CA: python -m pki ml-dsa init")
    above = _certificate(issuing)
    found = statement_on(ledger, issued, above)
    if found is None:
        raise NoStatementError(f"{identity!r}: none yet: python -m pki ml-dsa sign")
    pem = serialization.Encoding.PEM
    return "".join(
        one.public_bytes(pem).decode() for one in (_certificate(found), above)
    )


def _certificate(entry: Entry) -> x509.Certificate:
    return x509.load_der_x509_certificate(b64decode(entry.certificate or ""))


def _speaks_for(root: x509.Certificate, trust_domain: str) -> bool:
    try:
        names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return False
    uris = names.value.get_values_for_type(x509.UniformResourceIdentifier)
    return uris == [trust_domain_uri(trust_domain)]


def _check_same(
    presented: Sequence[x509.Certificate], certificate: x509.Certificate
) -> None:
    said, *others = presented
    about = [_spki(said), names_of(said), said.not_valid_after_utc]
    is_within = said.not_valid_before_utc >= certificate.not_valid_before_utc
    ends = min(
        [certificate.not_valid_after_utc, *(one.not_valid_after_utc for one in others)]
    )
    try:
        shown = [_spki(certificate), names_of(certificate), ends]
    except IdentityError as error:
        raise OtherCertificateError(str(error)) from error
    if about != shown or not is_within:
        raise OtherCertificateError(
            f"the statement is not about serial {certificate.serial_number:x}"
        )


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
