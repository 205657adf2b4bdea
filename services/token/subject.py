"""Check that a certificate holds the name registered for a client (RFC 8705, 2.1.2).

Five attributes, one comparison each: distinguished names as parsed names, addresses as
numbers, host names without case. The leaf's own names only.

Not proved here: that the certificate was issued by who may (`issuers`), and that the
caller holds its key (TLS).
"""

from collections.abc import Callable, Mapping
from ipaddress import ip_address

from cryptography import x509

from services.registration.methods import SubjectMatch
from services.token.errors import WrongSubjectError


def check_subject(registered: SubjectMatch, certificate: x509.Certificate) -> None:
    """Return if `certificate` holds the `registered` name.

    Raises:
        WrongSubjectError: it does not, or its names cannot be read.
    """
    attribute, expected = registered.attribute
    try:
        matches = _COMPARISONS[attribute](expected, certificate)
    except ValueError as error:
        raise WrongSubjectError(f"unreadable names: {error}") from error
    if not matches:
        raise WrongSubjectError(f"certificate has no {attribute} {expected!r}")


def _subject_dn(expected: str, certificate: x509.Certificate) -> bool:
    return certificate.subject == x509.Name.from_rfc4514_string(expected)


def _san_dns(expected: str, certificate: x509.Certificate) -> bool:
    names = _alternative_names(certificate).get_values_for_type(x509.DNSName)
    return expected.lower() in {name.lower() for name in names}


def _san_uri(expected: str, certificate: x509.Certificate) -> bool:
    names = _alternative_names(certificate)
    return expected in names.get_values_for_type(x509.UniformResourceIdentifier)


def _san_ip(expected: str, certificate: x509.Certificate) -> bool:
    names = _alternative_names(certificate)
    return ip_address(expected) in names.get_values_for_type(x509.IPAddress)


def _san_email(expected: str, certificate: x509.Certificate) -> bool:
    names = _alternative_names(certificate).get_values_for_type(x509.RFC822Name)
    return _folded_domain(expected) in {_folded_domain(name) for name in names}


def _folded_domain(mailbox: str) -> tuple[str, str]:
    """Return a mailbox with the part that has no case in lower case (RFC 5321, 2.4)."""
    local, _, domain = mailbox.rpartition("@")
    return local, domain.lower()


def _alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        found = certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName([])
    except (
        TypeError,  # a name constraint on what is no network
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise ValueError(str(error)) from error
    return found.value


_COMPARISONS: Mapping[str, Callable[[str, x509.Certificate], bool]] = {
    "subject_dn": _subject_dn,
    "san_dns": _san_dns,
    "san_uri": _san_uri,
    "san_ip": _san_ip,
    "san_email": _san_email,
}
