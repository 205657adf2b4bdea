"""Why an answer about a token is not believed (RFC 9701).

The caller's token may be good; nobody can say so. Unknown is no: all of these are
answered as if the token service were away. `InactiveTokenError` is another matter: the
answer is believed, and the token is refused.
"""

from services.errors import ServiceError
from services.proof.errors import InvalidTokenError


class InactiveTokenError(InvalidTokenError):
    """The token service says that the token is not active (RFC 7662, section 2.2)."""

    description = "the token is not active"


class IntrospectionError(ServiceError):
    """What a token is cannot be learnt now."""

    code = "temporarily_unavailable"


class UnansweredError(IntrospectionError):
    """The token service cannot be reached, or answered with an error."""


class UnsignedAnswerError(IntrospectionError):
    """The answer is no JWT, though one was asked for (RFC 9701, section 5)."""


class MalformedAnswerError(IntrospectionError):
    """The answer does not hold what RFC 9701, section 5, says."""


class AnswerKeyError(IntrospectionError):
    """The answer is signed with no published key, or not at all."""


class AnswerTypeError(IntrospectionError):
    """The JWT is of another kind (RFC 9701, section 8.1)."""


class AnswerIssuerError(IntrospectionError):
    """Somebody else answered."""


class AnswerAudienceError(IntrospectionError):
    """The answer was given to another resource service."""


class StaleAnswerError(IntrospectionError):
    """The answer was not given just now: an older one, or a clock that is wrong."""
