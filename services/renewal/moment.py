"""When a certificate is renewed, and when a try is repeated: values in, moments out."""

from datetime import datetime, timedelta
from hashlib import sha256
from random import uniform

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

_FROM, _TO = 1 / 2, 2 / 3  # of the life; what is left is for a CA that is away
_LEAST_SHARE = 0.5  # of a pause


def due(certificate: x509.Certificate) -> datetime:
    """Return when `certificate` is to be renewed: from half to two thirds of its life.

    The certificate itself says where in between, so that a thousand of one roll-out do
    not come at once, and a restart does not cast the dice anew.
    """
    digest = sha256(certificate.public_bytes(Encoding.DER)).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begins + (ends - begins) * (_FROM + (_TO - _FROM) * share)


def pause(failures: int, *, first: timedelta, longest: timedelta) -> timedelta:
    """Return how long to wait after so many failures in a row, one or more.

    Twice as long each time, up to `longest`, and by chance down to half of that.
    """
    doubled = first * 2.0 ** min(failures - 1, 20)
    return min(doubled, longest) * uniform(_LEAST_SHARE, 1)  # noqa: S311 - no secret
