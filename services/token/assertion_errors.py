"""Why a client assertion is refused: each reason a class, all `invalid_client`.

The message is for the log, and never holds the assertion; the caller reads one
description for all (RFC 7521, section 4.2.1).
"""

from services.token.errors import InvalidClientError


class AssertionRefusedError(InvalidClientError):
    """The client assertion proves nothing (RFC 7523, section 3)."""


class AssertionMissingError(AssertionRefusedError):
    """The client is registered for assertions, and there is none."""


class AssertionTypeError(AssertionRefusedError):
    """`client_assertion_type` is another than the JWT's (RFC 7523, section 2.2)."""


class MalformedAssertionError(AssertionRefusedError):
    """It is no compact JWS of strict JSON."""


class AssertionAlgorithmError(AssertionRefusedError):
    """Its algorithm is none of ours (FAPI 2.0, section 5.4.1)."""


class AssertionKindError(AssertionRefusedError):
    """It is a JWT of another kind (RFC 8725, section 3.11)."""


class AssertionKeyError(AssertionRefusedError):
    """No key of the client fits its algorithm and key id."""


class AssertionSignatureError(AssertionRefusedError):
    """No key of the client has signed it."""


class AssertionClaimError(AssertionRefusedError):
    """A required claim is absent or of another type."""


class AssertionSubjectError(AssertionRefusedError):
    """Issuer, subject and client are not one and the same."""


class AssertionAudienceError(AssertionRefusedError):
    """It is not for this issuer, or not for it alone (FAPI 2.0, 5.3.2.1)."""


class ExpiredAssertionError(AssertionRefusedError):
    """Its time is over, or began too long ago."""


class FutureAssertionError(AssertionRefusedError):
    """Its time begins later than a clock's error can explain."""


class LongAssertionError(AssertionRefusedError):
    """It would be good for longer than a request takes."""


class ReplayedAssertionError(AssertionRefusedError):
    """It was used before."""
