"""What proxies write into a request, and what a forger would, from a leaf of a mesh."""

from base64 import b64encode
from collections.abc import Sequence
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

Fields = Sequence[tuple[bytes, bytes]]


def client_cert(certificate: x509.Certificate) -> bytes:
    """Return the value of Client-Cert (RFC 9440, section 2.2)."""
    return b":" + b64encode(certificate.public_bytes(Encoding.DER)) + b":"


def pem(*certificates: x509.Certificate) -> bytes:
    """Return PEM text in URL encoding, as Envoy writes it."""
    text = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
    return quote(text, safe="").encode()


def sha256(certificate: x509.Certificate) -> bytes:
    """Return the hash that Envoy puts beside a certificate."""
    return certificate.fingerprint(SHA256()).hex().encode()


def xfcc(certificate: x509.Certificate) -> bytes:
    """Return the value of x-forwarded-client-cert, as Envoy writes it."""
    return b"By=spiffe://shop.internal/service/envoy;Hash=%b;Cert=" % sha256(
        certificate
    ) + b'"%b"' % pem(certificate)
