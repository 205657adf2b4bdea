"""Why a DPoP proof is refused: each reason is a class (RFC 9449, sections 5, 8 and 9).

All answer `invalid_dpop_proof` but those that ask for a nonce. As with tokens, the
message is for the log, `description` for the caller: the claims of a proof are his own
words, so telling him which of them is wrong gives nothing away.
"""

from services.errors import ServiceError


class InvalidProofError(ServiceError):
    """The DPoP proof is absent where it is due, malformed, or proves nothing here."""

    code = "invalid_dpop_proof"
    description = "the DPoP proof is not valid"


class ManyProofsError(InvalidProofError):
    """The request has more than one DPoP header field (RFC 9449, section 4.3, 1)."""

    description = "there is more than one DPoP proof"


class MalformedProofError(InvalidProofError):
    """The header field holds no single well-formed JWT (section 4.3, 2)."""

    description = "the DPoP proof is malformed"


class MissingProofClaimError(InvalidProofError):
    """A required claim is absent, of another type or too long (section 4.3, 3)."""

    description = "the DPoP proof lacks a required claim"


class WrongProofTypeError(InvalidProofError):
    """It is another kind of JWT by the same key (section 4.3, 4)."""

    description = "the JWT is no DPoP proof"


class WrongAlgorithmError(InvalidProofError):
    """The algorithm is none that is taken (section 4.3, 5)."""

    description = "the algorithm of the DPoP proof is not supported"


class ProofSignatureError(InvalidProofError):
    """The signature is not that of the key in the header (section 4.3, 6)."""

    description = "the signature of the DPoP proof is not valid"


class ProofKeyError(InvalidProofError):
    """The header holds no public key of the algorithm's kind (section 4.3, 6)."""

    description = "the key of the DPoP proof is not usable"


class PrivateKeyError(InvalidProofError):
    """The header shows a private or symmetric key (section 4.3, 7)."""

    description = "the DPoP proof shows a private key: it is no secret any more"


class WrongMethodError(InvalidProofError):
    """The proof is for another HTTP method (section 4.3, 8)."""

    description = "the DPoP proof is for another method"


class WrongUriError(InvalidProofError):
    """The proof is for another URI (section 4.3, 9)."""

    description = "the DPoP proof is for another URI"


class NonceRequiredError(InvalidProofError):
    """The proof holds no nonce, and this server wants one (section 4.3, 10)."""

    code = "use_dpop_nonce"
    description = "the DPoP proof needs a nonce of this server"


class StaleNonceError(NonceRequiredError):
    """The nonce is too old, or was never issued here (section 4.3, 10)."""

    description = "the DPoP proof needs a newer nonce"


class ExpiredProofError(InvalidProofError):
    """The proof was made too long ago (section 4.3, 11)."""

    description = "the DPoP proof is too old"


class FutureProofError(InvalidProofError):
    """The proof was made later than a clock's error can explain (section 4.3, 11)."""

    description = "the DPoP proof is of the future"


class WrongAccessTokenError(InvalidProofError):
    """The proof was not made for the access token it came with (section 4.3, 12)."""

    description = "the DPoP proof is for another access token"
