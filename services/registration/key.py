"""A key of a client, read from a JWK, and the certificate that may come with it.

Read when a registration is (`methods`), and again whenever what a client publishes is.
A certificate counts as a whole (RFC 8705, section 2.2), and becomes a trust anchor of
the token service's TLS: so it must not be one that OpenSSL would take for a CA.

Nothing is proved here about who holds the key.
"""

import warnings
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from services.jwk import JwkError, PublicKey, algorithm_of, check_public, public_key


@dataclass(frozen=True, slots=True)
class RegisteredKey:
    """A public key of a client, and its certificate where that is what counts."""

    algorithm: str
    key_id: str | None
    key: PublicKey
    certificate: x509.Certificate | None = None


def check_end_entity(certificate: x509.Certificate) -> None:
    """Return if `certificate` is self-signed and can sign no other.

    Registered, it becomes a trust anchor of the token service's TLS. If OpenSSL took it
    for a CA, its owner could sign a certificate with anybody's name.

    Raises:
        JwkError: it says to be a CA, is of a version that cannot say, has a key that
            may sign certificates, or was signed by another one.
    """
    if certificate.version is not x509.Version.v3:
        raise JwkError("a certificate before version 3 cannot say that it is no CA")
    try:
        certificate.verify_directly_issued_by(certificate)
        values = [extension.value for extension in certificate.extensions]
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise JwkError(f"not self-signed, or unreadable: {error}") from None
    for value in values:
        match value:
            case x509.BasicConstraints(ca=True):
                raise JwkError("a CA's certificate cannot be registered")
            case x509.KeyUsage(key_cert_sign=True) | x509.KeyUsage(crl_sign=True):
                raise JwkError("the certificate's key may sign certificates or CRLs")


def signature_key(member: Mapping[str, Any]) -> RegisteredKey:
    """Return the key for signatures that `member` is.

    Raises:
        JwkError: it is none, a private one, or of a kind that is not taken.
    """
    check_public(member)
    algorithm = algorithm_of(member)
    if algorithm is None or member.get("use", "sig") != "sig":
        raise JwkError("no key of P-256, Ed25519 or RSA for signatures")
    key_id = member.get("kid")
    if key_id is not None and not isinstance(key_id, str):
        raise JwkError("kid is no text")
    return RegisteredKey(algorithm, key_id, public_key(member, algorithm))


def certified_key(member: Mapping[str, Any]) -> RegisteredKey:
    """Return the key that `member` is, with its certificate.

    Raises:
        JwkError: it has no certificate, that of another key (RFC 8705, section 2.2),
            or one that could act as a CA.
    """
    key = signature_key(member)
    certificate = _first_certificate(member)
    check_end_entity(certificate)
    if _spki(certificate) != _spki(key.key.raw_value):
        raise JwkError("the certificate in x5c is of another key")
    return replace(key, certificate=certificate)


def _first_certificate(member: Mapping[str, Any]) -> x509.Certificate:
    """Return the first of `x5c`: base64 of DER, in one spelling (RFC 7517, 4.7)."""
    chain = member.get("x5c")
    first = chain[0] if isinstance(chain, list) and chain else None
    if not isinstance(first, str):
        raise JwkError("no certificate in x5c")
    try:
        der = b64decode(first, validate=True)
        with warnings.catch_warnings():
            # What is read with a warning, until some release, is not read here.
            warnings.simplefilter("error", CryptographyDeprecationWarning)
            certificate = x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion, UserWarning) as error:
        raise JwkError(f"x5c holds no certificate: {type(error).__name__}") from None
    spelt = b64encode(der).decode()
    if certificate.public_bytes(Encoding.DER) != der or spelt != first:
        raise JwkError("x5c in another spelling than DER in base64")
    return certificate


def _spki(holder: Any) -> bytes:
    """Return the public key of a certificate, or of itself, as it is encoded."""
    key = holder.public_key() if isinstance(holder, x509.Certificate) else holder
    try:
        octets: bytes = key.public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    except (ValueError, UnsupportedAlgorithm):
        raise JwkError("a key of no known kind") from None
    return octets
