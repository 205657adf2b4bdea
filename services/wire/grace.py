"""Let a certificate in that ended a moment ago, where it may still be renewed.

OpenSSL refuses an expired certificate in the handshake, and Python offers no callback
that could decide otherwise. So the one listener that has a grace (`wire.tls`) tells
OpenSSL to leave the time to us, and each handshake ends here: with the chain that
OpenSSL has verified in everything else. The CAs in it have no grace.

What a request may do with such a certificate is decided elsewhere: `wire.peer` refuses
it for everything but what asks with the grace (`services.enrolment`).
"""

import ssl
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which Python has no name for.
NO_CHECK_TIME = 0x200000
NO_GRACE = timedelta(0)


def check_times(chain: Sequence[bytes], *, grace: timedelta, now: datetime) -> None:
    """Return if `now` lies in the life of each certificate of a chain.

    Args:
        chain: in DER, the peer's first; all that OpenSSL has verified.
        grace: what is added to the life of the first.
        now: the moment.

    Raises:
        ssl.SSLCertVerificationError: it does not, or the chain cannot be seen.
    """
    if len(chain) < 2:  # noqa: PLR2004 - nobody is a root, so there is an issuer
        raise ssl.SSLCertVerificationError(1, "the peer's issuers cannot be seen")
    for depth, der in enumerate(chain):
        certificate = x509.load_der_x509_certificate(der)
        ends = certificate.not_valid_after_utc + (timedelta(0) if depth else grace)
        if not certificate.not_valid_before_utc <= now <= ends:
            raise ssl.SSLCertVerificationError(
                1,
                f"certificate {certificate.serial_number:x}, at depth {depth}, is not "
                f"valid at {now.isoformat()}",
            )
