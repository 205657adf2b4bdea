"""Why a token is refused: each reason is a class, all answer `invalid_token`.

The message is for the log; `description` is what the caller may know. It helps an
honest client to mend itself (fetch a new token, use the right certificate) and tells a
thief nothing that the token he holds does not say.
"""

from services.errors import ServiceError


class InvalidTokenError(ServiceError):
    """The token is expired, revoked, malformed, or invalid for another reason."""

    code = "invalid_token"
    description = "the token is not valid"


class MalformedTokenError(InvalidTokenError):
    """The text is no JWS in compact form, or what it holds is no strict JSON."""

    description = "the token is malformed"


class UnknownKeyError(InvalidTokenError):
    """The token names no key, or one that the token service does not publish."""

    description = "the token is signed with an unknown key"


class SignatureError(InvalidTokenError):
    """The signature is not that of the named key under an allowed algorithm."""

    description = "the signature is not valid"


class WrongTypeError(InvalidTokenError):
    """The token is signed, but it is another kind of JWT (RFC 9068, section 2.1)."""

    description = "the token is no access token"


class MissingClaimError(InvalidTokenError):
    """A required claim is absent or of another type (RFC 9068, section 2.2)."""

    description = "the token lacks a required claim"


class WrongIssuerError(InvalidTokenError):
    """The token was issued by another token service."""

    description = "the token was issued by another token service"


class WrongAudienceError(InvalidTokenError):
    """The token is for another resource service."""

    description = "the token is for another audience"


class ExpiredTokenError(InvalidTokenError):
    """The token's time is over."""

    description = "the token has expired"


class RevokedTokenError(InvalidTokenError):
    """The token was voided before its time (RFC 7009)."""

    description = "the token was revoked"


class NotYetValidError(InvalidTokenError):
    """The token's time begins later than a clock's error can explain."""

    description = "the token is not valid yet"


class UnboundTokenError(InvalidTokenError):
    """The token names no holder, or two, so somebody else could use it."""

    description = "the token is not bound to one certificate or key"


class WrongCertificateError(InvalidTokenError):
    """The token names another certificate than the caller's."""

    description = "the token is bound to another certificate"

    def __init__(self, message: str = "", named: str = "") -> None:
        super().__init__(message)
        self.named = named  # the thumbprint in the verified token


class CertificateRequiredError(InvalidTokenError):
    """The token names a certificate, and the caller presented none."""

    description = "the token is bound to a certificate, and none was presented"


class ProofRequiredError(InvalidTokenError):
    """The token names a key, and came without a proof by it (RFC 9449, 7.2)."""

    description = "the token is bound to a key, and no DPoP proof was presented"


class WrongKeyError(InvalidTokenError):
    """The token names another key than the one that made the proof."""

    description = "the token is bound to another key"


class UnmatchedProofError(InvalidTokenError):
    """The token names a certificate, and came with a proof that it cannot match."""

    description = "the token is bound to a certificate and takes no DPoP proof"
