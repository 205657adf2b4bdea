"""What must hold of a certificate before the CA's key signs it.

The certificate is first read without the CA's signature, checked here, and only then
signed: `signing` does it through `verify_draft`. Of a service these are the octets that
are signed; others, which are few, are built with a throwaway key. The rules are
written a second time on purpose: a mistake in `profiles` does not repeat itself here.
Among them are the five that the public linter pkilint lets pass: a serial of low
entropy, two URI names, a SPIFFE ID without path, and noRevAvail (RFC 9608) critical or
beside a CRL pointer.

pkilint itself takes 5 to 6 ms of CPU for a certificate, more than ten times as long as
all else that is done for one: it judges every profile in the tests. What is the same in
all certificates of a kind is judged once (`lint_shared`).

It is no path validation: that the chain verifies is for `trust` and TLS to say.
"""

from datetime import timedelta
from functools import cache, lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from pki.identity import IdentityError, names_of, trust_domain_uri
from pki.lint_pointers import LintError, value_of
from pki.lint_shared import check_shared
from pki.lint_values import check_life, check_names, check_serial
from pki.unsigned import Unsigned

_PARALLEL = "ml-dsa-"
# Nobody asks whether a responder's own certificate is revoked: it has to end soon.
_RESPONDER_LIFE = timedelta(days=8)


def verify_draft(
    to_sign: x509.CertificateBuilder | Unsigned,
    *,
    kind: str,
    issuer: x509.Certificate | None,
) -> x509.Certificate:
    """Return the certificate without the CA's signature, if it may be signed.

    What a builder makes is signed with a throwaway key.

    `kind` is root, cross, issuing, service or responder; root or issuing after
    `ml-dsa-`: then only its key is of another kind. `issuer` is None for a root.

    Raises:
        LintError: `check_certificate` refuses it.
    """
    if isinstance(to_sign, Unsigned):
        draft = to_sign.draft()
    else:
        draft = to_sign.sign(throwaway_key(), hashes.SHA256())
    check_certificate(draft, kind=kind, issuer=issuer)
    return draft


def check_certificate(
    certificate: x509.Certificate, *, kind: str, issuer: x509.Certificate | None
) -> None:
    """Return if these rules hold, in this order (sections of RFC 5280).

    1. `serial`: positive, 128 to 159 bits long (4.1.2.2).
    2. `issuer`: not empty, and the issuer's subject (4.1.2.4).
    3. `life`: begins before it ends, and not outside the issuer's (4.1.2.5); a
       responder's is a week (RFC 6960, 4.2.2.2.1).
    4. `key`: P-256, or ML-DSA where the kind says so.
    5. What `lint_shared` judges: `no_revocation`: noRevAvail stands in a service's
       certificate alone, is not critical, NULL, and beside no word of where its
       revocation is told (RFC 9608). `extensions`: those of its kind, critical or not
       as said, nothing else (4.2). `basic_constraints` and `key_usage`: those of its
       kind (4.2.1.9, 4.2.1.3). `key_identifiers`: the issuer's (4.2.1.1). `usages`: a
       service is server and client (4.2.1.12; X509-SVID.md 4.4), a responder signs
       OCSP answers and nothing else. `pointers`: if a service says where its revocation
       is told, then all of it, with http, and the list is one of the issuer's key
       (4.2.1.13, 4.2.2.1, 8).
    6. `key_identifiers`: its own key's (4.2.1.2).
    7. `names`: a service has exactly one SPIFFE ID with a path, DNS names the issuer
       permits, no subject; a CA has a subject and no path (4.2.1.6, 4.2.1.10); a
       responder has a subject.

    Raises:
        LintError: its `rule` is the one that is broken.
    """
    check_serial(certificate.serial_number)
    _check_issuer(certificate, issuer)
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    check_life(begins, ends, issuer)
    if kind == "responder" and ends - begins > _RESPONDER_LIFE:
        raise LintError("life", f"a responder's lasts {ends - begins}")
    key = certificate.public_key()
    _check_key(key, kind)
    kind = kind.removeprefix(_PARALLEL)
    check_shared(certificate, kind, issuer)
    if value_of(
        certificate.extensions, x509.SubjectKeyIdentifier
    ) != x509.SubjectKeyIdentifier.from_public_key(key):
        raise LintError("key_identifiers", "the subject's is not that of its key")
    if kind == "service":
        _check_service_names(certificate, issuer)
    elif kind == "responder":
        if not certificate.subject.rdns:
            raise LintError("names", "a responder has no subject")
    else:
        _check_authority_names(certificate)


@cache
def throwaway_key() -> ec.EllipticCurvePrivateKey:
    """Return a key for drafts, which nobody trusts."""
    return ec.generate_private_key(ec.SECP256R1())


def _check_issuer(
    certificate: x509.Certificate, issuer: x509.Certificate | None
) -> None:
    expected = _subject_of(certificate if issuer is None else issuer)
    if not certificate.issuer.rdns:
        raise LintError("issuer", "empty")
    if certificate.issuer.public_bytes() != expected:
        raise LintError("issuer", "not byte for byte the issuer's subject")


@lru_cache(maxsize=16)  # of the few issuers that there are
def _subject_of(issuer: x509.Certificate) -> bytes:
    return issuer.subject.public_bytes()


def _check_key(key: CertificatePublicKeyTypes, kind: str) -> None:
    if kind.startswith(_PARALLEL):
        if not isinstance(key, mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey):
            raise LintError("key", "not of ML-DSA-65 or ML-DSA-87")
    elif (
        not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1"
    ):
        raise LintError("key", "not on P-256")


def _check_service_names(
    certificate: x509.Certificate, issuer: x509.Certificate | None
) -> None:
    if certificate.subject.rdns:
        raise LintError("names", "a service has a subject")
    try:
        names = names_of(certificate)
    except IdentityError as error:
        raise LintError("names", str(error)) from error
    if issuer is None:
        raise LintError("issuer", "a service has none")
    check_names(names, issuer)


def _check_authority_names(certificate: x509.Certificate) -> None:
    if not certificate.subject.rdns:
        raise LintError("names", "a CA has no subject")
    alternative = certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value
    uris = alternative.get_values_for_type(x509.UniformResourceIdentifier)
    if len(uris) != 1 or len(list(alternative)) != 1:
        raise LintError("names", "a CA does not have its trust domain as only URI")
    trust_domain = uris[0].removeprefix("spiffe://")
    try:
        expected = trust_domain_uri(trust_domain)
    except IdentityError as error:
        raise LintError("names", str(error)) from error
    if uris[0] != expected:
        raise LintError("names", f"{uris[0]} is no trust domain")
