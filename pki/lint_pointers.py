"""What a certificate says of its own revocation, as `lint` wants it: all, or nothing.

Nothing may be said aloud as well, by noRevAvail (RFC 9608): no profile of ours does so.
"""

from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from pki.errors import PkiError
from pki.pointers import PointerError, authority_of, pointers_of

NO_REVOCATION = x509.ObjectIdentifier("2.5.29.56")  # noRevAvail (RFC 9608)
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_NULL = b"\x05\x00"
_TELLS = (
    ExtensionOID.CRL_DISTRIBUTION_POINTS,
    ExtensionOID.FRESHEST_CRL,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
)


class LintError(PkiError):
    """A certificate about to be signed breaks `rule`."""

    code = "lint_refused"

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(f"{rule}: {message}")
        self.rule = rule


def value_of(extensions: x509.Extensions, kind: type[_Kind]) -> _Kind:
    """Return the one extension of a kind that a certificate of any kind has.

    Raises:
        LintError: `extensions`, it is not there.
    """
    # The library's own look-up asks an abstract class each time: a tenth of the lint.
    for extension in extensions:
        if type(extension.value) is kind:
            return extension.value
    raise LintError("extensions", f"lacks {kind.__name__}")


def check_no_revocation(certificate: x509.Certificate, kind: str) -> None:
    """Return if noRevAvail, which is in the certificate, may stand there.

    Raises:
        LintError: `no_revocation`.
    """
    if kind != "service":
        raise LintError("no_revocation", f"in a {kind} certificate")
    extension = certificate.extensions.get_extension_for_oid(NO_REVOCATION)
    if extension.critical:
        raise LintError("no_revocation", "critical")
    if extension.value.public_bytes() != _NULL:
        raise LintError("no_revocation", "not NULL")
    found = {item.oid for item in certificate.extensions}
    told = [oid.dotted_string for oid in _TELLS if oid in found]
    if told:
        raise LintError("no_revocation", f"beside {', '.join(told)}")


def check_pointers(
    certificate: x509.Certificate, issuer: x509.Certificate | None
) -> None:
    """Return if what it says is right, should it say anything.

    Raises:
        LintError: `pointers`.
    """
    try:
        pointers = pointers_of(certificate)
    except PointerError as error:
        raise LintError("pointers", str(error)) from error
    # Each generation of the CA's key has addresses of its own.
    if pointers and issuer and f"/crl/{authority_of(issuer)}/" not in pointers.crl:
        raise LintError("pointers", f"{pointers.crl} is not of the issuer's key")
