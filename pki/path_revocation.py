"""Whether anything on a verified path was revoked (RFC 5280, section 6.3).

`trust` finds the path, `revocation_list` verifies the lists; here both come together.
The root is not asked about: nobody but itself could revoke it, and what is no longer to
be trusted leaves the bundle. Unknown is no: a certificate without a list of its issuer
that can be relied on now is refused, and so is the whole path.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from cryptography import x509

from pki.pointers import signer_of
from pki.revocation_list import (
    EarlyListError,
    ListScopeError,
    RevocationList,
    RevocationListError,
    StaleListError,
)


class MissingListError(RevocationListError):
    """There is no list that would say whether the certificate is revoked."""

    code = "missing_list"


def check_path_revocation(
    path: Sequence[x509.Certificate],
    lists: Collection[RevocationList],
    *,
    now: datetime,
    bound: timedelta | None = None,
) -> None:
    """Return if nothing on `path`, which `trust` returned, is revoked at `now`.

    1. There is a list of each certificate's issuer, of its scope; more do no harm.
    2. None of them says that the certificate is revoked, however old it is: a
       revocation is for ever.
    3. One of them is of today, and not older than `bound`, if that is given.

    Raises:
        MissingListError: step 1.
        RevokedError: step 2.
        RevocationListError: step 3; the subclass says what is wrong with the newest.
    """
    for certificate in path[:-1]:
        signer = signer_of(certificate)
        covering = [
            each
            for each in lists
            if each.authority == signer and _covers(each, certificate)  # 1, 2
        ]
        if not covering:
            raise MissingListError(
                f"no revocation list for {certificate.serial_number:x}, signed by "
                f"{signer}"
            )
        _check_one_current(covering, now, bound)  # 3


def _covers(each: RevocationList, certificate: x509.Certificate) -> bool:
    try:
        each.check_certificate(certificate)
    except ListScopeError:
        return False
    return True


def _check_one_current(
    covering: Collection[RevocationList], now: datetime, bound: timedelta | None
) -> None:
    unreliable: RevocationListError | None = None
    for each in sorted(covering, key=lambda each: each.number):
        try:
            each.check_current(now, bound=bound)
        except (EarlyListError, StaleListError) as error:
            unreliable = error
        else:
            return
    if unreliable:
        raise unreliable
