"""What RFC 5280 asks of the certificates on a path, and the library leaves open.

`trust` asks it of every path that `cryptography.x509.verification` has found. The
library checks signatures, dates, names and their constraints, usages, critical
extensions, and the keys of authorities; the faults below it lets pass. Which ones they
are was learnt from x509-limbo; what is right, from the sections named at each.

Nothing is said about who is at the other end, nor about revocation.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from pki.errors import PkiError

# Not processed here. Both are to be critical, so that who does not refuses.
_POLICY = {ExtensionOID.POLICY_CONSTRAINTS, ExtensionOID.INHIBIT_ANY_POLICY}
_UNREADABLE = (
    ValueError,
    TypeError,  # a name constraint on what is no network
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)


class ConformanceError(PkiError):
    """A certificate of the path is not as RFC 5280 wants it."""

    code = "nonconforming_certificate"

    def __init__(self, certificate: x509.Certificate, fault: str) -> None:
        """Say of `certificate` what its `fault` is."""
        called = certificate.subject.rfc4514_string()
        super().__init__(f"{called or format(certificate.serial_number, 'x')} {fault}")


class SerialNumberError(ConformanceError):
    """The serial number is not positive."""

    code = "serial_not_positive"


class KeyIdentifierError(ConformanceError):
    """The identifiers of keys are missing, or do not say who signed what."""

    code = "bad_key_identifier"


class ConstraintError(ConformanceError):
    """A constraint stands where those who do not know it pass over it."""

    code = "bad_constraint"


class UsageError(ConformanceError):
    """An extended key usage allows everything, or stands in a root."""

    code = "bad_extended_key_usage"


def check_path(path: Sequence[x509.Certificate]) -> None:
    """Return if all of a verified path is sound; the workload comes first, a root last.

    1. Serial numbers are positive (section 4.1.2.2); a root's counts for nothing.
    2. A CA names its own key (4.2.1.2).
    3. A certificate names the key that signed it, as its issuer names it, and by
       nothing else; a root that its own subject issued may leave that out (4.2.1.1).
    4. Constraints on names are critical, those on policies are not there (4.2.1.10,
       4.2.1.11, 4.2.1.14).
    5. No extended key usage is anyExtendedKeyUsage, and a root has none (4.2.1.12,
       CA/B baseline requirements, 7.1.2.1).

    Raises:
        ConformanceError: the subclass says which.
    """
    for certificate in path[:-1]:
        if certificate.serial_number <= 0:  # 1
            raise SerialNumberError(certificate, "has no positive serial number")
    for certificate in path:
        _check_constraints(certificate)  # 4
        _check_usages(certificate)  # 5
    for certificate in path[1:]:  # 2
        _own_key(certificate)
    for certificate, issuer in pairwise(path):  # 3
        if _signer(certificate) != _own_key(issuer):
            raise KeyIdentifierError(
                certificate, "names another key than that of its issuer"
            )
    root = path[-1]
    _check_root_signer(root)
    if _extension(root, x509.ExtendedKeyUsage):  # 5
        raise UsageError(root, "is a root for certain usages only")


def _check_root_signer(root: x509.Certificate) -> None:
    """Let a root be one that another CA signed, if it says with which key."""
    own = root.issuer == root.subject
    if own and _extension(root, x509.AuthorityKeyIdentifier) is None:
        return
    signer = _signer(root)
    if own and signer != _own_key(root):
        raise KeyIdentifierError(root, "is signed by another key")


def _own_key(certificate: x509.Certificate) -> bytes:
    named = _extension(certificate, x509.SubjectKeyIdentifier)
    if named is None:
        raise KeyIdentifierError(certificate, "does not name its key")
    return named.digest


def _signer(certificate: x509.Certificate) -> bytes:
    named = _extension(certificate, x509.AuthorityKeyIdentifier)
    if named is None or named.key_identifier is None:
        raise KeyIdentifierError(certificate, "does not name its signer")
    if named.authority_cert_issuer or named.authority_cert_serial_number is not None:
        raise KeyIdentifierError(certificate, "names its signer's certificate")
    return named.key_identifier


def _check_constraints(certificate: x509.Certificate) -> None:
    for extension in _extensions(certificate):
        if extension.oid in _POLICY:
            raise ConstraintError(certificate, "has constraints on policies")
        if extension.oid == ExtensionOID.NAME_CONSTRAINTS and not extension.critical:
            raise ConstraintError(certificate, "has name constraints, not critical")


def _check_usages(certificate: x509.Certificate) -> None:
    usages = _extension(certificate, x509.ExtendedKeyUsage)
    if usages and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages:
        raise UsageError(certificate, "is for any usage")


def _extension(certificate: x509.Certificate, kind: type[_Kind]) -> _Kind | None:
    for extension in _extensions(certificate):
        if isinstance(extension.value, kind):
            return extension.value
    return None


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except _UNREADABLE as error:
        raise ConformanceError(
            certificate, f"has unreadable extensions: {error}"
        ) from error
