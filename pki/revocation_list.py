"""A revocation list as those use it who verify (RFC 5280, section 6.3): bytes to value.

Who checks certificates reads a list once, keeps the value and asks it for each
certificate; reading takes a moment, asking none. Nothing here signs, and no key but
the issuing CA's public one is needed.

A list proves that its authority had revoked these certificates, and of those it covers
no others, at `this_update`. It does not prove to be the newest one: who brings it can
bring an older one while that lasts. `check_follows` finds a step back, `check_current`
bounds how long one can be kept in the past.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import CRLEntryExtensionOID, ExtensionOID

from pki.errors import PkiError
from pki.pointers import (
    PointerError,
    authority_of,
    names_of_point,
    pointers_of,
    signer_of,
)
from pki.serials import Serials

_SKEW = timedelta(minutes=5)  # clocks that differ, as in certificates
_UNDERSTOOD = {
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.CRL_NUMBER,
    ExtensionOID.ISSUING_DISTRIBUTION_POINT,
    ExtensionOID.DELTA_CRL_INDICATOR,
    ExtensionOID.FRESHEST_CRL,
}
_Kind = TypeVar("_Kind", bound=x509.ExtensionType)
_UNREADABLE = (
    ValueError,
    TypeError,  # a name constraint on what is no network
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


class RevocationListError(PkiError):
    """A revocation list cannot be relied on, or says that a certificate is revoked."""

    code = "bad_revocation_list"


class UnreadableListError(RevocationListError):
    """It is no revocation list, or lacks what every list has."""

    code = "unreadable_list"


class ForeignListError(RevocationListError):
    """It is the list of another authority."""

    code = "foreign_list"


class ListSignatureError(RevocationListError):
    """The authority did not sign it, or may not sign lists."""

    code = "bad_list_signature"


class UnknownContentError(RevocationListError):
    """It holds something critical that is not understood."""

    code = "unknown_list_content"


class ListScopeError(RevocationListError):
    """It is a list of another kind, or of other certificates."""

    code = "wrong_list_scope"


class EarlyListError(RevocationListError):
    """It begins in the future."""

    code = "early_list"


class StaleListError(RevocationListError):
    """A newer one should be here by now."""

    code = "stale_list"


class OlderListError(RevocationListError):
    """Its number is not above that of the list it is to follow."""

    code = "older_list"


class RevokedError(RevocationListError):
    """The certificate is revoked."""

    code = "certificate_revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """What an authority had revoked at one moment; only `verify_list` makes it."""

    authority: str  # the issuing CA's key identifier, in hex
    names: tuple[str, ...]  # its distribution point; none: all certificates
    number: int
    this_update: datetime
    next_update: datetime
    serials: Serials = field(repr=False)

    def check_current(self, now: datetime, *, bound: timedelta | None = None) -> None:
        """Return if the list can be relied on at `now`.

        `bound` says how old it may be, if that is less than it says of itself.

        Raises:
            EarlyListError: it begins more than five minutes later.
            StaleListError: it should have been replaced, or is older than `bound`.
        """
        if now < self.this_update - _SKEW:
            raise EarlyListError(f"the revocation list begins at {self.this_update}")
        ends = self.next_update
        if bound is not None:
            ends = min(ends, self.this_update + bound)
        if now >= ends:
            raise StaleListError(f"the revocation list is relied on until {ends}")

    def check_follows(self, earlier: "RevocationList") -> None:
        """Return if this list may take the place of `earlier`.

        Raises:
            ListScopeError: it is another authority's, or of another scope.
            OlderListError: its number is not higher.
        """
        if self.authority != earlier.authority or not (
            self.names == earlier.names or set(self.names) & set(earlier.names)
        ):
            raise ListScopeError("the list is of another authority or scope")
        if self.number <= earlier.number:
            raise OlderListError(
                f"the list has number {self.number}, {earlier.number} was here before"
            )

    def check_certificate(self, certificate: x509.Certificate) -> None:
        """Return if the list says that `certificate` is not revoked.

        Raises:
            ForeignListError: another key has signed the certificate.
            ListScopeError: its distribution point is another one.
            RevokedError: it is revoked.
        """
        if signer_of(certificate) != self.authority:
            raise ForeignListError("the list is not of the certificate's issuer")
        if self.names:
            try:
                pointers = pointers_of(certificate)
            except PointerError as error:
                raise ListScopeError(f"the certificate's list: {error}") from error
            if pointers is None or pointers.crl not in self.names:
                raise ListScopeError("the certificate belongs to another list")
        if certificate.serial_number in self.serials:
            raise RevokedError(f"{certificate.serial_number:x} is revoked")


def verify_list(der: bytes, issuer: x509.Certificate) -> RevocationList:
    """Return the list that `issuer`, a CA that is trusted already, has signed.

    1. The bytes are one revocation list.
    2. It names `issuer` and its key (sections 5.1.2.3 and 5.2.1).
    3. That key signed it, and may (section 6.3.3, f and g).
    4. It says when the next one comes, and has a number, which is not critical
       (5.1.2.5, 5.2.3).
    5. Nothing critical in it is unknown (5.2).
    6. It is no delta, not indirect and for all reasons and certificates (5.2.4, 5.2.5).
    7. Nothing critical in an entry is unknown, and no entry takes one back (5.3).

    Raises:
        RevocationListError: the subclass says which.
    """
    try:
        crl = x509.load_der_x509_crl(der)  # 1
        extensions = crl.extensions
    except (*_UNREADABLE, UnsupportedAlgorithm) as error:
        raise UnreadableListError(f"no revocation list: {error}") from error
    _check_issuer(crl, extensions, issuer)  # 2
    _check_signature(crl, issuer)  # 3
    number = _extension(extensions, x509.CRLNumber)  # 4
    if crl.next_update_utc is None:
        raise UnreadableListError("the list does not say when the next one comes")
    for extension in extensions:  # 4, 5
        if extension.critical and extension.oid == ExtensionOID.CRL_NUMBER:
            raise UnreadableListError("the number of the list is critical")
        if extension.critical and extension.oid not in _UNDERSTOOD:
            raise UnknownContentError(
                f"the list has the critical extension {extension.oid.dotted_string}"
            )
    return RevocationList(
        authority=authority_of(issuer),
        names=_names(extensions),  # 6
        number=number.crl_number,
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        serials=_serials(crl),  # 7
    )


def _check_issuer(
    crl: x509.CertificateRevocationList,
    extensions: x509.Extensions,
    issuer: x509.Certificate,
) -> None:
    if crl.issuer.public_bytes() != issuer.subject.public_bytes():
        raise ForeignListError(f"the list is of {crl.issuer.rfc4514_string()}")
    named = _extension(extensions, x509.AuthorityKeyIdentifier).key_identifier
    kinds = (extension.value for extension in issuer.extensions)
    own = [kind for kind in kinds if isinstance(kind, x509.SubjectKeyIdentifier)]
    if named not in {kind.digest for kind in own}:
        raise ForeignListError("the list is of another key of that name")


def _check_signature(
    crl: x509.CertificateRevocationList, issuer: x509.Certificate
) -> None:
    key = issuer.public_key()
    kinds = (extension.value for extension in issuer.extensions)
    may = any(isinstance(kind, x509.KeyUsage) and kind.crl_sign for kind in kinds)
    if not may or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ListSignatureError("the issuer's key may not sign lists")
    try:
        valid = crl.is_signature_valid(key)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:  # pragma: no cover
        # The library says False to every list tried so far, and promises nothing.
        raise ListSignatureError(f"the signature cannot be checked: {error}") from error
    if not valid:
        raise ListSignatureError("the list is not signed by its issuer")


def _names(extensions: x509.Extensions) -> tuple[str, ...]:
    for extension in extensions:
        if extension.oid == ExtensionOID.DELTA_CRL_INDICATOR:
            raise ListScopeError("the list is a delta, which alone says nothing")
    try:
        point = extensions.get_extension_for_class(x509.IssuingDistributionPoint).value
    except x509.ExtensionNotFound:
        return ()
    if (
        point.indirect_crl
        or point.only_some_reasons
        or point.only_contains_user_certs
        or point.only_contains_ca_certs
        or point.only_contains_attribute_certs
    ):
        raise ListScopeError("the list is indirect, or not for all certificates")
    try:
        return names_of_point(list(point.full_name or []))
    except PointerError as error:
        raise ListScopeError(f"the list's own name: {error}") from error


def _serials(crl: x509.CertificateRevocationList) -> Serials:
    return Serials(_serial(entry) for entry in crl)


def _serial(entry: x509.RevokedCertificate) -> int:
    try:
        extensions = entry.extensions
    except _UNREADABLE as error:
        raise UnreadableListError(f"an entry is unreadable: {error}") from error
    for extension in extensions:
        known = extension.oid in {
            CRLEntryExtensionOID.CRL_REASON,
            CRLEntryExtensionOID.INVALIDITY_DATE,
        }
        if extension.critical and not known:
            raise UnknownContentError(
                f"an entry has the critical extension {extension.oid.dotted_string}"
            )
        if (
            isinstance(extension.value, x509.CRLReason)
            and extension.value.reason is x509.ReasonFlags.remove_from_crl
        ):
            raise ListScopeError("an entry takes a revocation back")
    return entry.serial_number


def _extension(extensions: x509.Extensions, kind: type[_Kind]) -> _Kind:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound as error:
        raise UnreadableListError(f"the list lacks {kind.__name__}") from error
