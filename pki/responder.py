"""The OCSP responder's own key and certificate (RFC 6960, section 4.2.2.2).

The CA's key stays sealed between two batches, so answers are signed by another one,
which the CA certified for that alone. It lies open on the CA host, as a service's key
does on its own: who steals it can call revoked certificates good for the week that
its certificate lasts, and issue none.

Key and certificate are one file, so that they always belong together.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki.errors import PkiError
from pki.pointers import signer_of
from pki.revocation import half_life
from pki.storage import check_private, write_atomically

IDENTITY = "ocsp-responder"  # as the ledger calls it; no service's name is without an @
LIFETIME = timedelta(days=7)


class ResponderError(PkiError):
    """The responder's file does not hold a key and its certificate."""

    code = "bad_responder"


@dataclass(frozen=True, slots=True)
class Responder:
    """A key, and what the CA certified it for."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def is_due(self, authority: str, now: datetime) -> bool:
        """Return whether another one is to be made."""
        certificate = self.certificate
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        return signer_of(certificate) != authority or now >= half_life(begins, ends)

    def serves(self, now: datetime) -> bool:
        """Return whether its answers are accepted at `now`."""
        certificate = self.certificate
        return certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc

    def write(self, path: Path) -> None:
        """Put it at `path`, for the owner's eyes only."""
        key = self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        certificate = self.certificate.public_bytes(serialization.Encoding.PEM)
        write_atomically(path, key + certificate)


def read_responder(path: Path) -> Responder | None:
    """Return the responder at `path`, None if there is none yet.

    Raises:
        ResponderError: the file holds something else.
        InsecurePermissionsError: other users may use the file.
    """
    if not path.exists():
        return None
    check_private(path)
    content = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
    except (ValueError, TypeError) as error:
        raise ResponderError(f"{path}: {error}") from error
    if (
        not isinstance(key, ec.EllipticCurvePrivateKey)
        or key.public_key() != certificate.public_key()
    ):
        raise ResponderError(f"{path}: the key is not the certificate's")
    return Responder(key, certificate)
