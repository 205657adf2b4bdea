"""What must hold of a revocation list before the CA's key signs it (RFC 5280, 5).

As for certificates: the list is first signed with a throwaway key and checked here.
The rules are written a second time on purpose, `revocation` shares nothing with them.
"""

from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from pki.lint import throwaway_key
from pki.lint_pointers import LintError

_LONGEST_NUMBER = 159  # bits; 20 octets, and the top bit would mean negative
_LONGEST_LIFE = {"root": timedelta(days=366), "issuing": timedelta(days=1)}
_EXTENSIONS = {  # what each kind has, and whether it is critical
    "full": {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
        ExtensionOID.CRL_NUMBER: False,
    },
    "shard": {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
        ExtensionOID.CRL_NUMBER: False,
        ExtensionOID.ISSUING_DISTRIBUTION_POINT: True,
    },
    "delta": {
        ExtensionOID.AUTHORITY_KEY_IDENTIFIER: False,
        ExtensionOID.CRL_NUMBER: False,
        ExtensionOID.DELTA_CRL_INDICATOR: True,
    },
}
_OPTIONAL = {"full": {ExtensionOID.FRESHEST_CRL: False}}
_NEVER = (x509.ReasonFlags.certificate_hold, x509.ReasonFlags.remove_from_crl)


def verify_draft(
    builder: x509.CertificateRevocationListBuilder,
    *,
    kind: str,
    by: str,
    issuer: x509.Certificate,
) -> None:
    """Return if what `builder` makes may be signed.

    `kind` is full, shard or delta, `by` is root or issuing.

    Raises:
        LintError: `check_crl` refuses it.
    """
    draft = builder.sign(throwaway_key(), hashes.SHA256())
    check_crl(draft, kind=kind, by=by, issuer=issuer)


def check_crl(
    crl: x509.CertificateRevocationList, *, kind: str, by: str, issuer: x509.Certificate
) -> None:
    """Return if these rules hold, in this order (sections of RFC 5280).

    1. `issuer`: the issuer's subject byte for byte; its key may sign lists (5.1.2.3).
    2. `life`: says when the next one comes: within a day, a year for a root (5.1.2.5).
    3. `extensions`: those of its kind, critical or not as said, nothing else (5.2).
    4. `key_identifier`: the issuer's key and nothing more (5.2.1).
    5. `number`: positive, at most 20 octets; a delta's base is lower (5.2.3, 5.2.4).
    6. `distribution_point`: all certificates and reasons, http names (5.2.5).
    7. `entries`: each serial once, none in the future, no hold, nothing but a reason
       that says something (5.3).

    Raises:
        LintError: its `rule` is the one that is broken.
    """
    _check_issuer(crl, issuer)
    ends = crl.next_update_utc
    if ends is None or not (
        timedelta(0) < ends - crl.last_update_utc <= _LONGEST_LIFE[by]
    ):
        raise LintError("life", f"from {crl.last_update_utc} to {ends}")
    _check_extensions(crl, kind)
    _check_key_identifier(crl, issuer)
    _check_numbers(crl, kind)
    if kind == "shard":
        _check_distribution_point(crl)
    _check_entries(crl)


def _check_issuer(
    crl: x509.CertificateRevocationList, issuer: x509.Certificate
) -> None:
    if crl.issuer.public_bytes() != issuer.subject.public_bytes():
        raise LintError("issuer", "not byte for byte the issuer's subject")
    usage = issuer.extensions.get_extension_for_class(x509.KeyUsage).value
    if not usage.crl_sign:
        raise LintError("issuer", "its key may not sign revocation lists")


def _check_extensions(crl: x509.CertificateRevocationList, kind: str) -> None:
    try:
        found = {item.oid: item.critical for item in crl.extensions}
    except (x509.DuplicateExtension, ValueError) as error:
        raise LintError("extensions", f"unreadable: {error}") from error
    for oid, critical in _OPTIONAL.get(kind, {}).items():
        if found.get(oid) is critical:
            del found[oid]
    if found != _EXTENSIONS[kind]:
        names = sorted(oid.dotted_string for oid in found)
        raise LintError("extensions", f"{', '.join(names)} in a {kind} list")


def _check_key_identifier(
    crl: x509.CertificateRevocationList, issuer: x509.Certificate
) -> None:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    named = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    if named != x509.AuthorityKeyIdentifier(own.digest, None, None):
        raise LintError("key_identifier", "not that of the issuer's key")


def _check_numbers(crl: x509.CertificateRevocationList, kind: str) -> None:
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    if number <= 0 or number.bit_length() > _LONGEST_NUMBER:
        raise LintError("number", f"{number}")
    if kind == "delta":
        base = crl.extensions.get_extension_for_class(x509.DeltaCRLIndicator).value
        if base.crl_number >= number:
            raise LintError("number", f"a delta on {base.crl_number} with {number}")


def _check_distribution_point(crl: x509.CertificateRevocationList) -> None:
    point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    if (
        point.only_contains_user_certs
        or point.only_contains_ca_certs
        or point.only_contains_attribute_certs
        or point.only_some_reasons
        or point.indirect_crl
    ):
        raise LintError("distribution_point", "not for all certificates and reasons")
    names = list(point.full_name or [])
    if not names or not all(
        isinstance(name, x509.UniformResourceIdentifier)
        and name.value.startswith("http://")
        for name in names
    ):
        raise LintError("distribution_point", "its names are not http URIs")


def _check_entries(crl: x509.CertificateRevocationList) -> None:
    seen: set[int] = set()
    made = crl.last_update_utc  # read anew each time it is asked for, as the serials
    for entry in crl:
        serial = entry.serial_number
        if serial in seen:
            raise LintError("entries", f"{serial:x} is there twice")
        seen.add(serial)
        if entry.revocation_date_utc > made:
            raise LintError("entries", f"{serial:x} is of the future")
        for extension in entry.extensions:
            if extension.oid != CRLEntryExtensionOID.CRL_REASON or extension.critical:
                raise LintError(
                    "entries", f"an entry has {extension.oid.dotted_string}"
                )
            reason = extension.value.reason
            if reason in _NEVER or reason is x509.ReasonFlags.unspecified:
                raise LintError("entries", f"an entry's reason is {reason.value}")
