"""Why a certificate is not renewed, and what the caller reads of it.

The message is for the log. The caller is told `code` and `description`, in plain text
(RFC 7030, section 4.2.3); the name of what its own request broke is among them.
"""

from datetime import timedelta

from services.errors import ServiceError


class EnrolmentError(ServiceError):
    """A request to the CA's front is refused."""

    status = 400
    description = "the request is refused"
    retry_after: timedelta | None = None


class NotFoundError(EnrolmentError):
    """There is no such operation, or no such CA (label)."""

    code = "not_found"
    status = 404
    description = "no such operation"


class MethodError(EnrolmentError):
    """The operation is asked for by another method."""

    code = "method_not_allowed"
    status = 405
    description = "this operation has another method"


class UnusableCertificateError(EnrolmentError):
    """The connection has no certificate, or none that is good now."""

    code = "invalid_certificate"
    status = 401
    description = "the client certificate of this connection is not valid"


class FirstCertificateError(EnrolmentError):
    """A first certificate is asked for: no certificate can vouch for that."""

    code = "not_offered"
    status = 403
    description = "a first certificate comes with the roll-out, not over the network"


class MediaTypeError(EnrolmentError):
    """The body is said to be something else than a request."""

    code = "unsupported_media_type"
    status = 415

    def __init__(self, message: str, *, expected: str) -> None:
        super().__init__(message)
        self.description = f"expected {expected}"


class TooLargeError(EnrolmentError):
    """The body is longer than any honest request."""

    code = "request_too_large"
    status = 413
    description = "the body is too large"


class UnreadableError(EnrolmentError):
    """The body is no base64 of one PKCS #10 request."""

    code = "request_unreadable"
    description = "expected the base64 form of one PKCS #10 request in DER"


class CutOffError(EnrolmentError):
    """The caller hung up before the end of its body."""

    code = "request_unreadable"


class NoPossessionError(EnrolmentError):
    """The request is not signed by the key it holds."""

    code = "no_proof_of_possession"
    description = "the request is not signed by the key it holds"


class OtherNamesError(EnrolmentError):
    """Subject or names are not those of the certificate being renewed."""

    code = "other_names"
    status = 403
    description = "subject and names must be those of the present certificate"


class UnknownCertificateError(EnrolmentError):
    """The ledger has not issued the certificate to anybody."""

    code = "unknown_certificate"
    status = 403
    description = "the present certificate is not in the ledger"


class RevokedError(EnrolmentError):
    """The certificate was revoked: it vouches for nobody."""

    code = "revoked"
    status = 403
    description = "the present certificate is revoked"


class SupersededError(EnrolmentError):
    """A newer certificate was issued to the identity: this one renews nothing."""

    code = "superseded"
    status = 403
    description = "a newer certificate was issued to this identity"


class UsedKeyError(EnrolmentError):
    """The key has a certificate already: a renewal brings a new one."""

    code = "used_key"
    status = 403
    description = "a renewed certificate needs a new key"


class RefusedByPolicyError(EnrolmentError):
    """The CA's own checks refuse; `code` is that of the check."""

    status = 403
    description = "the CA's policy refuses the request"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class TooManyRequestsError(EnrolmentError):
    """The identity has asked too often."""

    code = "too_many_requests"
    status = 429
    description = "too many requests of this identity"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnavailableError(EnrolmentError):
    """The CA cannot sign now; the request may be good."""

    code = "temporarily_unavailable"
    status = 503
    description = "the CA cannot answer now"
    retry_after = timedelta(seconds=10)


class BusyError(UnavailableError):
    """More requests wait for the CA's key than may."""

    retry_after = timedelta(seconds=5)


class NoQuestionError(EnrolmentError):
    """What follows /ocsp/ in the path is no base64, or no certificate is meant."""

    code = "request_unreadable"
    description = "expected one OCSP request in DER, in a path its base64 form"


class NotPublishedError(EnrolmentError):
    """No such list or certificate is published."""

    code = "not_found"
    status = 404
    description = "no such list or certificate"


class OutdatedError(EnrolmentError):
    """The list has run out, and there is no newer one: nobody may go by it."""

    code = "outdated"
    status = 503
    description = "the newest list has run out"
    retry_after = timedelta(seconds=60)
