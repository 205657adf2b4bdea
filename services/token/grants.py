"""Which grants the token endpoint offers, and how each decides (RFC 6749, section 4.5).

A grant takes an authenticated call and returns the access token to issue, or raises a
`TokenRequestError`. A further grant is a file of its own and a line here.
"""

from services.proof.access_token import AccessToken
from services.proof.errors import InvalidTokenError
from services.token.call import Call
from services.token.client_credentials import CLIENT_CREDENTIALS, client_credentials
from services.token.errors import InvalidSubjectTokenError, UnsupportedGrantTypeError
from services.token.exchange import (
    TOKEN_EXCHANGE,
    exchange,
    issued_type,
    subject_token,
)
from services.token.tokens import Tokens

GRANT_TYPES = frozenset({CLIENT_CREDENTIALS, TOKEN_EXCHANGE})


async def grant(call: Call, tokens: Tokens) -> AccessToken:
    """Return the access token that answers `call`.

    Raises:
        UnsupportedGrantTypeError: the grant type is none of `GRANT_TYPES`.
        TokenRequestError: the grant refused; the subclass says why.
    """
    grant_type = call.form.required("grant_type")
    if grant_type == CLIENT_CREDENTIALS:
        return client_credentials(call, issuer=tokens.issuer)
    if grant_type == TOKEN_EXCHANGE:
        try:
            subject = await tokens.read(subject_token(call), call.now)
        except InvalidTokenError as error:
            raise InvalidSubjectTokenError(str(error)) from error
        return exchange(call, subject, issuer=tokens.issuer)
    raise UnsupportedGrantTypeError(f"grant type {grant_type!r}")


def answer_members(call: Call) -> dict[str, str]:
    """Return what the answer to `call` has beside the token (RFC 8693, 2.2.1)."""
    if call.form.single.get("grant_type") == TOKEN_EXCHANGE:
        return {"issued_token_type": issued_type(call)}
    return {}
