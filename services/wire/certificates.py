"""Certificates out of what somebody sent: the one spelling of each, or none.

`wire.client_cert` and `wire.xfcc` read with this. That something is a certificate says
nothing about whether it is trusted.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from services.wire.forwarding_errors import MalformedFieldError


def from_der(der: bytes) -> x509.Certificate:
    """Return the certificate whose one DER form `der` is.

    Raises:
        MalformedFieldError: it is no certificate, or has another DER form.
    """
    with _strictly():
        certificate = x509.load_der_x509_certificate(der)
    if certificate.public_bytes(Encoding.DER) != der:
        raise MalformedFieldError("not the DER form of the certificate")
    return certificate


def from_pem(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates whose one PEM form `pem` is, at least one.

    Raises:
        MalformedFieldError: there is none, or more than certificates, or another form.
    """
    with _strictly():
        found = x509.load_pem_x509_certificates(pem)
    if b"".join(each.public_bytes(Encoding.PEM) for each in found) != pem:
        raise MalformedFieldError("more than certificates, or another spelling of them")
    return found


@contextmanager
def _strictly() -> Iterator[None]:
    """Refuse what cannot be read, and what is read with a warning until some release.

    A serial number below one is such a thing. As a warning it would also be a line on
    standard error that is no line of the log.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)
        try:
            yield
        except (ValueError, x509.InvalidVersion, UserWarning) as error:
            raise MalformedFieldError(f"no certificate: {error}") from error
