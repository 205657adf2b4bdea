"""Certificates that no CA of ours would issue, to be read and never to be trusted.

They are signed by the one key that they hold; what reads names does not look at it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

KEY = ec.generate_private_key(ec.SECP256R1())
_START = datetime(2026, 9, 21, tzinfo=UTC)


def certificate(
    *names: x509.GeneralName,
    subject: Sequence[x509.RelativeDistinguishedName] = (),
) -> x509.Certificate:
    """Return a certificate with these alternative names and this subject."""
    builder = _builder(subject)
    if names:
        alternative = x509.SubjectAlternativeName(names)
        builder = builder.add_extension(alternative, critical=not subject)
    return builder.sign(KEY, SHA256())


def rdn(
    *attributes: tuple[x509.ObjectIdentifier, str],
) -> x509.RelativeDistinguishedName:
    """Return one level of a distinguished name; it may have several values."""
    return x509.RelativeDistinguishedName(
        [x509.NameAttribute(oid, value) for oid, value in attributes]
    )


def with_names(value: bytes) -> x509.CertificateBuilder:
    """Return the makings of a certificate whose alternative names are these bytes."""
    extension = x509.UnrecognizedExtension(x509.SubjectAlternativeName.oid, value)
    return _builder(()).add_extension(extension, critical=False)


def _builder(
    subject: Sequence[x509.RelativeDistinguishedName],
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name(subject))
        .issuer_name(x509.Name([]))
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(_START)
        .not_valid_after(_START + timedelta(days=1))
    )
