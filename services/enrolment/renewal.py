"""What a request for renewal must be, beside what the policy says (RFC 7030, 4.2.2).

`office` asks with the certificate of the TLS handshake: that is who asks, whatever the
request says of itself. Values in, nothing or a refusal out.
"""

from cryptography import x509

from pki import request as requests
from pki.ledger import Ledger
from services.enrolment.errors import (
    NoPossessionError,
    OtherNamesError,
    RevokedError,
    SupersededError,
    UnknownCertificateError,
    UnreadableError,
    UsedKeyError,
)

_UNREADABLE = (
    ValueError,
    TypeError,  # a name constraint on what is no network
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def check_request(
    request: x509.CertificateSigningRequest, present: x509.Certificate
) -> None:
    """Return if the request is for the same names as the certificate `present`.

    1. It is signed by the key it holds (RFC 2986): before anything in it is read.
    2. Its subject is that of the certificate.
    3. Its names are those of the certificate, in whatever order.

    Raises:
        NoPossessionError: 1.
        OtherNamesError: 2 or 3.
        UnreadableError: its names cannot be read.
    """
    try:
        requests.proved_key(request)  # 1
    except requests.NoPossessionError as error:
        raise NoPossessionError(str(error)) from error
    if request.subject != present.subject:  # 2
        raise OtherNamesError(
            f"the request is for the subject {request.subject.rfc4514_string()!r}, "
            f"the certificate for {present.subject.rfc4514_string()!r}"
        )
    try:
        asked = names(request.extensions)
    except _UNREADABLE as error:
        raise UnreadableError(f"names of the request: {error}") from error
    if asked != names(present.extensions):  # 3
        raise OtherNamesError(f"the request is for {', '.join(asked) or 'no names'}")


def names(extensions: x509.Extensions) -> tuple[str, ...]:
    """Return the alternative names as sorted texts."""
    try:
        found = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(sorted(f"{type(name).__name__}:{name.value}" for name in found))


def holder_of(ledger: Ledger, *, serial: str, present: str, wanted: str) -> str:
    """Return the identity that may renew, as the ledger names it.

    Only the newest certificate of an identity renews it, so that an old one with its
    key, stolen from a backup, is of no use to anybody. Whoever lost the answer has no
    newer one to show, but the key that was asked for: with that key the older may ask
    again, and gets what was issued.

    Args:
        ledger: every certificate.
        serial: of the certificate that the handshake has proved.
        present: SHA-256 of its SPKI in hex.
        wanted: SHA-256 of the request's.

    Raises:
        UnknownCertificateError: the CA has not issued it.
        RevokedError: it was revoked.
        SupersededError: it is not the newest, and another key is asked for than the
            newest one has.
        UsedKeyError: the key was certified for this identity before.
    """
    identity = ledger.holder_of(present)
    newest = ledger.newest_issued(identity) if identity else None
    if identity is None or newest is None:
        raise UnknownCertificateError(f"serial {serial} is not in the ledger")
    if ledger.is_revoked_key(present):
        raise RevokedError(f"serial {serial} of {identity} is revoked")
    if newest.serial == serial:
        if (
            ledger.holder_of(wanted) is not None
            and ledger.newest_issued(identity, spki_sha256=wanted) is not None
        ):
            raise UsedKeyError(f"{identity} asks for a key it has had before")
    elif newest.spki_sha256 != wanted:
        raise SupersededError(
            f"serial {serial} of {identity} was followed by {newest.serial}: an old "
            "certificate is shown, or the answer to its renewal was lost with the key"
        )
    return identity
