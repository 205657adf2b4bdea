"""What EST sends over HTTP (RFC 7030, section 4; RFC 8951): bytes in, bytes out.

Answers carry their base64 on one line: one client in use (strongSwan) takes no other,
and all take this. Whatever a header says of an encoding is not looked at (RFC 8951,
section 3.1): a body is base64, always.
"""

import binascii
from base64 import b64decode, b64encode
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from services.enrolment.errors import UnreadableError

CERTIFICATES = "application/pkcs7-mime; smime-type=certs-only"
ATTRIBUTES = "application/csrattrs"
REQUEST = "application/pkcs10"
LONGEST = 16_384  # bytes of a body; a P-256 request with a dozen names has about 800

# SEQUENCE { ecdsa-with-SHA256, { id-ecPublicKey, { prime256v1 } } } (section 4.5.2).
_CSR_ATTRIBUTES = bytes.fromhex(
    "3021" + "06082a8648ce3d040302" + "301506072a8648ce3d0201310a06082a8648ce3d030107"
)


def certificates(chain: Sequence[x509.Certificate]) -> bytes:
    """Return certificates as a certs-only PKCS #7 (RFC 5652), in base64 on one line."""
    return b64encode(pkcs7.serialize_certificates(list(chain), Encoding.DER))


def csr_attributes() -> bytes:
    """Return what a request should hold: a P-256 key, a signature with SHA-256."""
    return b64encode(_CSR_ATTRIBUTES)


def read_request(body: bytes) -> x509.CertificateSigningRequest:
    """Return the request in a body; nothing in it is proved.

    Raises:
        UnreadableError: it is no base64, or not of a PKCS #10 request in DER.
    """
    try:
        der = b64decode(bytes(body.translate(None, b" \t\r\n")), validate=True)
        return x509.load_der_x509_csr(der)
    except (binascii.Error, ValueError, UnsupportedAlgorithm) as error:
        raise UnreadableError(f"no PKCS #10 request: {error}") from error
