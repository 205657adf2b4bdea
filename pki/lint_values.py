"""What must hold of a serial, a life and names, wherever `lint` has them from."""

from datetime import datetime
from functools import lru_cache

from cryptography import x509

from pki.identity import DnsName, Names
from pki.lint_pointers import LintError

# Of 159 random bits, 31 leading zeros come once in 2^31 times; a counter or a clock
# has more of them. Such a certificate is refused, and the next attempt succeeds.
_SHORTEST_SERIAL = 128
_LONGEST_SERIAL = 159


def check_serial(serial: int) -> None:
    """Return if a serial is positive, and its bits were random.

    Raises:
        LintError: `serial`.
    """
    bits = serial.bit_length()
    if serial <= 0 or not _SHORTEST_SERIAL <= bits <= _LONGEST_SERIAL:
        raise LintError("serial", f"{bits} bits long, not 159 random ones")


def check_life(
    begins: datetime, ends: datetime, issuer: x509.Certificate | None
) -> None:
    """Return if a life begins before it ends, and not outside the issuer's.

    Raises:
        LintError: `life`.
    """
    if begins >= ends:
        raise LintError("life", f"ends at {ends}, before it begins at {begins}")
    if issuer is None:
        return
    if ends > issuer.not_valid_after_utc or begins < issuer.not_valid_before_utc:
        raise LintError("life", "reaches outside the issuer's own")


def check_names(names: Names, issuer: x509.Certificate) -> None:
    """Return if an issuer may certify a service's names.

    Raises:
        LintError: `names`.
    """
    permitted = _permitted_by(issuer)
    for name in names.dns_names:
        if not any(map(name.lies_within, permitted)):
            raise LintError("names", f"the issuer may not certify {name}")


@lru_cache(maxsize=16)  # of the few issuers that there are
def _permitted_by(issuer: x509.Certificate) -> tuple[DnsName, ...]:
    constraints = issuer.extensions.get_extension_for_class(x509.NameConstraints).value
    return tuple(DnsName(name.value) for name in constraints.permitted_subtrees or [])
