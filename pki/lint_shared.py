"""What all certificates of one kind by one CA have in common, as `lint` wants it.

These are their extensions, but for the key's identifier and the names. They are judged
by every rule when they are seen first; the same again, compared by value, are known. A
service's certificate has little else, and there are many of those.
"""

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from pki.lint_pointers import (
    NO_REVOCATION,
    LintError,
    check_no_revocation,
    check_pointers,
    value_of,
)

_OWN = {ExtensionOID.SUBJECT_KEY_IDENTIFIER, ExtensionOID.SUBJECT_ALTERNATIVE_NAME}
_EVERYWHERE = {
    ExtensionOID.BASIC_CONSTRAINTS: True,
    ExtensionOID.KEY_USAGE: True,
    ExtensionOID.SUBJECT_KEY_IDENTIFIER: False,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
}
_EXTENSIONS = {  # what each kind has, all of it, and whether it is critical
    "root": {**_EVERYWHERE, ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False},
    "cross": {**_EVERYWHERE, ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False},
    "issuing": {
        **_EVERYWHERE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: False,
        ExtensionOID.NAME_CONSTRAINTS: True,
    },
    "service": {
        **_EVERYWHERE,
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME: True,
        ExtensionOID.EXTENDED_KEY_USAGE: False,
    },
    "responder": {
        **_EVERYWHERE,
        ExtensionOID.EXTENDED_KEY_USAGE: False,
        ExtensionOID.OCSP_NO_CHECK: False,
    },
}
_POINTERS = {  # a service has both, or neither
    ExtensionOID.CRL_DISTRIBUTION_POINTS: False,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS: False,
}
_SERVICE_WITH_POINTERS = _EXTENSIONS["service"] | _POINTERS
_CERTIFIES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_SIGNS = x509.KeyUsage(  # never key encipherment with EC (RFC 8813, section 3)
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_AUTHORITIES = {"root", "cross", "issuing"}
_PATH_LENGTH = {"cross": 1, "issuing": 0}
_USAGES = {
    "service": {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH},
    "responder": {ExtendedKeyUsageOID.OCSP_SIGNING},
}
# What was judged, by kind and issuer.
_Extensions = tuple[tuple[x509.ObjectIdentifier, bool, x509.ExtensionType | None], ...]
_KNOWN: dict[tuple[str, x509.Certificate, _Extensions], None] = {}
_MOST_KNOWN = 2048  # of a kilobyte or two: one CA has as many as it has shards


def check_shared(
    certificate: x509.Certificate, kind: str, issuer: x509.Certificate | None
) -> None:
    """Return if the extensions are those of a kind by an issuer, None for a root.

    Raises:
        LintError: `no_revocation`, `extensions`, `basic_constraints`, `key_usage`,
            `key_identifiers` for the authority's, `usages`, `pointers`.
    """
    if issuer is None:
        _judge(certificate, kind, certificate)
        return
    known = kind, issuer, _values(certificate)
    if known in _KNOWN:
        return
    _judge(certificate, kind, issuer)
    if len(_KNOWN) >= _MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[known] = None


def _values(certificate: x509.Certificate) -> _Extensions:
    return tuple(
        [
            (item.oid, item.critical, None if item.oid in _OWN else item.value)
            for item in _extensions(certificate)
        ]
    )


def _extensions(certificate: x509.Certificate) -> x509.Extensions:
    try:
        return certificate.extensions
    except (x509.DuplicateExtension, ValueError) as error:
        raise LintError("extensions", f"unreadable: {error}") from error


def _judge(certificate: x509.Certificate, kind: str, issuer: x509.Certificate) -> None:
    _check_extensions(certificate, kind)
    _check_constraints(certificate, kind)
    _check_authority(certificate, issuer)
    if kind in _USAGES:
        _check_usages(certificate, kind)
        check_pointers(certificate, issuer)


def _check_extensions(certificate: x509.Certificate, kind: str) -> None:
    found = {item.oid: item.critical for item in _extensions(certificate)}
    if NO_REVOCATION in found:
        check_no_revocation(certificate, kind)
        del found[NO_REVOCATION]
    expected = _EXTENSIONS[kind]
    if kind == "service" and not _POINTERS.keys().isdisjoint(found):
        expected = _SERVICE_WITH_POINTERS
    if found == expected:
        return
    for oid in found.keys() ^ expected.keys():
        verb = "has" if oid in found else "lacks"
        raise LintError("extensions", f"a {kind} certificate {verb} {oid}")
    for oid, critical in expected.items():
        if found[oid] != critical:
            raise LintError("extensions", f"{oid} has to be critical={critical}")


def _check_constraints(certificate: x509.Certificate, kind: str) -> None:
    extensions = certificate.extensions
    basic = value_of(extensions, x509.BasicConstraints)
    if (basic.ca, basic.path_length) != (kind in _AUTHORITIES, _PATH_LENGTH.get(kind)):
        raise LintError("basic_constraints", f"{basic} in a {kind} certificate")
    usage = value_of(extensions, x509.KeyUsage)
    if usage != (_CERTIFIES if kind in _AUTHORITIES else _SIGNS):
        raise LintError("key_usage", f"{usage} in a {kind} certificate")


def _check_authority(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    own = value_of(issuer.extensions, x509.SubjectKeyIdentifier)
    # The key alone, never issuer and serial: those forbid cross-certification.
    expected = x509.AuthorityKeyIdentifier(own.digest, None, None)
    if value_of(certificate.extensions, x509.AuthorityKeyIdentifier) != expected:
        raise LintError("key_identifiers", "the authority's is not the issuer's")


def _check_usages(certificate: x509.Certificate, kind: str) -> None:
    usages = value_of(certificate.extensions, x509.ExtendedKeyUsage)
    found = list(usages)
    if len(found) != len(_USAGES[kind]) or set(found) != _USAGES[kind]:
        raise LintError("usages", f"not exactly those of a {kind}")
