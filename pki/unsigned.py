"""A certificate before its signature: what is linted are the octets that are signed.

`profiles` writes one, `lint` reads it as a certificate without a signature, `signing`
has the CA's key sign it. RFC 5280, section 4.1.
"""

from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
)

from pki import der

# ecdsa-with-SHA256 (RFC 5758, section 3.2): inside and outside of what is signed.
ALGORITHM = bytes.fromhex("300a06082a8648ce3d040302")


@dataclass(frozen=True, slots=True)
class Unsigned:
    """A TBSCertificate in DER that names ecdsa-with-SHA256 as its algorithm."""

    octets: bytes

    def draft(self) -> x509.Certificate:
        """Return the certificate with nothing where its signature will be."""
        return self._with(b"")

    def sign(
        self,
        key: CertificateIssuerPrivateKeyTypes,
        algorithm: hashes.HashAlgorithm | None,
    ) -> x509.Certificate:
        """Return the certificate, as a `CertificateBuilder` would.

        Raises:
            TypeError: it is not to be signed with ECDSA and SHA-256.
        """
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(
            algorithm, hashes.SHA256
        ):
            raise TypeError("it says that ECDSA with SHA-256 signs it")
        return self._with(key.sign(self.octets, ec.ECDSA(algorithm)))

    def _with(self, signature: bytes) -> x509.Certificate:
        octets = der.value(
            der.SEQUENCE, self.octets, ALGORITHM, der.bit_string(signature)
        )
        return x509.load_der_x509_certificate(octets)
