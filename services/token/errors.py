"""What the token service answers when it refuses (RFC 6749, section 5.2).

The class says which rule was broken, `code` what the caller reads, `status` how HTTP
says it. The message is for the log; the caller is told `description`, which never
repeats what was sent (its characters are limited, and an echo could break them).
"""

from datetime import timedelta

from services.errors import ServiceError


class TokenRequestError(ServiceError):
    """A request to the token service is refused."""

    status = 400
    description = "the request is refused"
    retry_after: timedelta | None = None  # when it may be worth while to ask again


class InvalidRequestError(TokenRequestError):
    """A parameter is missing, repeated, malformed or out of place."""

    code = "invalid_request"
    description = "a parameter is missing, repeated, malformed or out of place"


class RequestTooLargeError(InvalidRequestError):
    """The body is larger than any token request can be."""

    status = 413
    description = "the body is too large"


class InvalidClientError(TokenRequestError):
    """The client is unknown, or its certificate is not the one registered for it.

    One description for all: which of the two it was is nobody's business.
    """

    code = "invalid_client"
    status = 401
    description = "client authentication failed"


class UnknownClientError(InvalidClientError):
    """No client is registered under this name."""


class WrongSubjectError(InvalidClientError):
    """The certificate does not hold the name registered for the client."""


class UnusableCertificateError(InvalidClientError):
    """There is no client certificate on the connection, or it is not valid now."""


class RevokedCertificateError(UnusableCertificateError):
    """The client's certificate is revoked, or one above it."""


class UnregisteredCertificateError(InvalidClientError):
    """The certificate is none of those registered for the client."""


class UntrustedIssuerError(InvalidClientError):
    """The certificate was not issued under a root of the client's trust domain."""


class OtherTrustDomainError(InvalidClientError):
    """The certificate names a workload of another trust domain than the client's."""


class UnnamedWorkloadError(InvalidClientError):
    """The certificate names no workload, and those of our trust domain do."""


class UnsupportedGrantTypeError(TokenRequestError):
    """The grant type is none that this token service offers."""

    code = "unsupported_grant_type"
    description = "the grant type is not offered here"


class InvalidTargetError(TokenRequestError):
    """The resource is missing, unknown, or not for this client (RFC 8707, 2)."""

    code = "invalid_target"
    description = "name exactly one resource that this client may call"


class InvalidScopeError(TokenRequestError):
    """A scope is unknown, malformed, or more than the topology gives this client."""

    code = "invalid_scope"
    description = "a scope is not granted to this client at this resource"


class UnauthorizedClientError(TokenRequestError):
    """The client is known and may not do this (RFC 6749, section 5.2)."""

    code = "unauthorized_client"
    description = "the client may not use this grant or endpoint"


class InvalidSubjectTokenError(InvalidRequestError):
    """The token to be exchanged is not good for this client (RFC 8693, 2.2.2)."""

    description = "the subject token is not valid, or was not sent to this client"


class ProofRefusedError(TokenRequestError):
    """The DPoP proof is bad, or missing where one is due (RFC 9449, section 5)."""

    code = "invalid_dpop_proof"
    description = "the DPoP proof is missing or not valid"


class NonceWantedError(ProofRefusedError):
    """The DPoP proof is to hold a nonce of ours (RFC 9449, section 8)."""

    code = "use_dpop_nonce"
    description = "the DPoP proof needs the nonce of this answer"


class UnavailableError(TokenRequestError):
    """What is needed to decide cannot be had now: unknown is no."""

    code = "temporarily_unavailable"
    status = 503
    description = "try again shortly"
    retry_after = timedelta(seconds=1)


class CertificateStatusError(UnavailableError):
    """Whether the client's certificate is revoked cannot be learnt now."""


class TooManyRequestsError(TokenRequestError):
    """The client or its certificate asks too often (RFC 6585, section 4)."""

    code = "temporarily_unavailable"
    status = 429
    description = "too many requests"

    def __init__(self, message: str, retry_after: timedelta) -> None:
        super().__init__(message)
        self.retry_after = retry_after
