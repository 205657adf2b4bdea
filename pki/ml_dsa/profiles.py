"""The certificates of the parallel CA: its root, its issuing CA, and statements.

A statement says of a service's certificate what the issuing CA has said in it: this
key, these names, from then until then. It is a certificate itself, of the same key and
profile, so that whoever can verify a chain can verify it; only the signatures above the
key are ML-DSA (RFC 9881). It says nothing of revocation: see `ml_dsa.statement`.
"""

import secrets
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import NameOID

from pki.identity import DnsName, trust_domain_uri
from pki.ml_dsa.keys import PublicKey
from pki.ml_dsa.statement import end_of_statement
from pki.profiles import BACKDATING, IssuerExpiredError

_SERIAL_BITS = 159  # as in `pki.profiles`
_OF_THE_ISSUER = (
    x509.AuthorityKeyIdentifier,
    x509.CRLDistributionPoints,
    x509.AuthorityInformationAccess,
)
_CERTIFIES = x509.KeyUsage(  # signatures only (RFC 9881, section 5)
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def root(
    key: PublicKey, *, trust_domain: str, lifetime: timedelta, now: datetime
) -> x509.CertificateBuilder:
    """Return the certificate of a root with `key`, to be signed by that key."""
    name, begins = _name(trust_domain, "PQ root CA"), now - BACKDATING
    own = x509.SubjectKeyIdentifier.from_public_key(key)
    return (
        _authority(key, trust_domain, path_length=None)
        .subject_name(name)
        .issuer_name(name)
        .not_valid_before(begins)
        .not_valid_after(begins + lifetime)
        .add_extension(_by(own), critical=False)
    )


def issuing_ca(  # noqa: PLR0913 - each is told apart by its name
    key: PublicKey,
    *,
    trust_domain: str,
    permitted_dns: tuple[DnsName, ...],
    issuer: x509.Certificate,
    lifetime: timedelta,
    now: datetime,
) -> x509.CertificateBuilder:
    """Return the certificate of an issuing CA with `key`, to be signed by a root.

    Raises:
        IssuerExpiredError: `issuer` has no life left.
    """
    if issuer.not_valid_after_utc <= now:
        raise IssuerExpiredError(
            f"the ML-DSA root's certificate ended at {issuer.not_valid_after_utc}"
        )
    begins = max(now - BACKDATING, issuer.not_valid_before_utc)
    permitted = [x509.DNSName(name.text) for name in permitted_dns]
    return (
        _authority(key, trust_domain, path_length=0)
        .subject_name(_name(trust_domain, "PQ issuing CA"))
        .issuer_name(issuer.subject)
        .not_valid_before(begins)
        .not_valid_after(min(begins + lifetime, issuer.not_valid_after_utc))
        .add_extension(_by(_key_identifier(issuer)), critical=False)
        .add_extension(x509.NameConstraints(permitted, None), critical=True)
    )


def statement(
    certificate: x509.Certificate, issuer: x509.Certificate
) -> x509.CertificateBuilder:
    """Return the statement on a service's certificate, to be signed by `issuer`.

    It is about the time in which both are valid.
    """
    builder = (
        x509.CertificateBuilder()
        .serial_number(_new_serial())
        .subject_name(certificate.subject)
        .issuer_name(issuer.subject)
        .public_key(certificate.public_key())
        .not_valid_before(
            max(certificate.not_valid_before_utc, issuer.not_valid_before_utc)
        )
        .not_valid_after(end_of_statement(certificate, issuer))
        .add_extension(_by(_key_identifier(issuer)), critical=False)
    )
    for extension in certificate.extensions:
        if not isinstance(extension.value, _OF_THE_ISSUER):
            builder = builder.add_extension(extension.value, extension.critical)
    return builder


def _authority(
    key: PublicKey, trust_domain: str, *, path_length: int | None
) -> x509.CertificateBuilder:
    """Return what the two CAs have in common."""
    uri = x509.UniformResourceIdentifier(trust_domain_uri(trust_domain))
    basic = x509.BasicConstraints(ca=True, path_length=path_length)
    return (
        x509.CertificateBuilder()
        .serial_number(_new_serial())
        .public_key(key)
        .add_extension(basic, critical=True)
        .add_extension(_CERTIFIES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.SubjectAlternativeName([uri]), critical=False)
    )


def _name(trust_domain: str, of: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{trust_domain} {of}")])


def _new_serial() -> int:
    return secrets.randbits(_SERIAL_BITS) or _new_serial()


def _key_identifier(issuer: x509.Certificate) -> x509.SubjectKeyIdentifier:
    return issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value


def _by(key: x509.SubjectKeyIdentifier) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key)
