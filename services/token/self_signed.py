"""Know a client by the whole of a self-signed certificate (RFC 8705, section 2.2).

No issuer vouches for it and no name in it counts: it is one of those registered, byte
for byte, or it is nobody's. That each of them belongs to the key beside it, and could
sign no other certificate, was checked when it was read (`registration.key`).

TLS proves that the caller holds the key. It lets these certificates in because
`registry` names them, so a new one is found there first.
"""

from cryptography import x509

from services.token.client_keys import ClientKeys, Keys
from services.token.errors import UnregisteredCertificateError
from services.wire.peer import Presented


async def check_registered(keys: ClientKeys, presented: Presented) -> None:
    """Return if the certificate is among `keys`, asked for again if it is not.

    Raises:
        UnregisteredCertificateError: it is not.
        ClientKeysUnavailableError: which ones are registered cannot be said now.
    """
    if _holds(await keys.current(), presented.certificate):
        return
    if not _holds(await keys.refresh(), presented.certificate):
        raise UnregisteredCertificateError(
            f"certificate {presented.serial:x} is none of the client's"
        )


def _holds(keys: Keys, certificate: x509.Certificate) -> bool:
    # Certificates are equal if their DER forms are.
    return any(key.certificate == certificate for key in keys)
