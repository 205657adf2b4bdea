"""What the token service answers when it refuses (RFC 6749, section 5.2).

The class says which rule was broken, `code` what the caller reads, `status` how HTTP
says it. The message is for the log; the caller is told `description`, which never
repeats what was sent (its characters are limited, and an echo could break them).
"""

from services.errors import ServiceError


class TokenRequestError(ServiceError):
    """A request to the token service is refused."""

    status = 400
    description = "the request is refused"


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


class UnsupportedGrantTypeError(TokenRequestError):
    """The grant type is none that this token service offers."""

    code = "unsupported_grant_type"
    description = "grant types: client_credentials"


class InvalidTargetError(TokenRequestError):
    """The resource is missing, unknown, or not for this client (RFC 8707, 2)."""

    code = "invalid_target"
    description = "name exactly one resource that this client may call"


class InvalidScopeError(TokenRequestError):
    """A scope is unknown, malformed, or more than the topology gives this client."""

    code = "invalid_scope"
    description = "a scope is not granted to this client at this resource"
