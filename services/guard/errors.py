"""Why the guard refuses a request before or after it looks at the token (RFC 6750).

What is wrong with the token itself is in `services.proof.errors`.
"""

from services.errors import ServiceError


class RequestRefusedError(ServiceError):
    """The request cannot be let through; `status` and `description` are the answer."""

    status = 401
    description = "the request is refused"


class NoTokenError(RequestRefusedError):
    """No token was sent: the answer asks for one, without a code (section 3.1)."""

    code = ""
    description = "a token is needed"


class InvalidRequestError(RequestRefusedError):
    """The credentials are malformed, given twice or in the wrong place."""

    code = "invalid_request"
    status = 400


class TwoCredentialsError(InvalidRequestError):
    """There is more than one Authorization header (section 2)."""

    description = "more than one Authorization header"


class TokenInQueryError(InvalidRequestError):
    """A token stands in the URI, where logs and proxies keep it (section 2.3)."""

    description = "a token does not belong into the URI"


class MalformedCredentialsError(InvalidRequestError):
    """What follows the scheme is no token (section 2.1)."""

    description = "the Authorization header holds no token"


class UnusableCertificateError(RequestRefusedError):
    """The connection has no client certificate, or it is not valid any more."""

    code = "invalid_token"
    description = "the client certificate of this connection is not valid"


class RevokedCertificateError(UnusableCertificateError):
    """The certificate of the connection is revoked, or one above it."""

    description = "the client certificate of this connection is revoked"


class InsufficientScopeError(RequestRefusedError):
    """The token is genuine, and does not reach this far (section 3.1)."""

    code = "insufficient_scope"
    status = 403
    description = "the token lacks a scope"

    def __init__(self, needed: str, held: frozenset[str]) -> None:
        super().__init__(f"needs scope {needed!r}, token has {sorted(held)}")
        self.needed = needed


class ProofBesideBearerError(InvalidRequestError):
    """There is a DPoP proof, and the token comes under the scheme Bearer."""

    description = "a DPoP proof beside the scheme Bearer"


class ProofMissingError(RequestRefusedError):
    """The scheme is DPoP, and there is no proof (RFC 9449, section 7.1)."""

    code = "invalid_dpop_proof"
    description = "the scheme DPoP needs a DPoP proof"


class ReplayedProofError(RequestRefusedError):
    """The proof was used before (RFC 9449, section 11.1)."""

    code = "invalid_dpop_proof"
    description = "the DPoP proof was used before"


class DpopNotTakenError(RequestRefusedError):
    """This service is not set up for DPoP."""

    code = "invalid_token"
    description = "DPoP-bound tokens are not taken here"
