"""Say what a token is, to the service it is for (RFC 7662, RFC 9701).

A resource service asks about a token that was sent to it. Whatever else it asks about,
unknown, over, revoked or for somebody else, has one answer: not active, and nothing
more (RFC 7662, section 2.2). Asked with the right Accept header, the answer is signed,
as a JWT that cannot pass for an access token (RFC 9701, sections 5 and 8.1).
"""

from typing import Any

from starlette.responses import Response

from services import audit
from services.proof.access_token import AccessToken, claims_for
from services.proof.errors import InvalidTokenError
from services.token.answer import NO_STORE, Answer
from services.token.call import Call
from services.token.errors import UnauthorizedClientError
from services.token.signing_keys import ALGORITHM
from services.token.tokens import Tokens, token_type

SIGNED = "application/token-introspection+jwt"
SIGNING_ALGORITHMS = [ALGORITHM]
_TYPE = "token-introspection+jwt"
_INACTIVE: dict[str, Any] = {"active": False}


async def introspect(call: Call, tokens: Tokens) -> Response:
    """Answer an introspection request.

    Raises:
        UnauthorizedClientError: the client is no resource service.
        InvalidRequestError: there is no token to ask about.
        StateUnavailableError: whether it is revoked cannot be said now.
    """
    audience = call.client.audience
    if audience is None:
        raise UnauthorizedClientError(f"{call.client.client_id} is no resource service")
    members = await _members(call, tokens, audience)
    audit.granted(
        "introspection.answered",
        client_id=call.client.client_id,
        peer=call.peer.spiffe_id,
        serial=call.peer.serial,
        active=members["active"],
        token_id=members.get("jti"),
    )
    if SIGNED not in call.accept:
        return Answer(members)
    # No sub and no exp on the outside, where an access token has them (section 5).
    claims = {
        "iss": tokens.issuer,
        "aud": audience,
        "iat": int(call.now.timestamp()),
        "token_introspection": members,
    }
    signed = tokens.keys.own.sign(claims, kind=_TYPE)
    return Response(signed, media_type=SIGNED, headers=NO_STORE)


async def _members(call: Call, tokens: Tokens, audience: str) -> dict[str, Any]:
    try:
        token = await tokens.read(call.form.required("token"), call.now)
    except InvalidTokenError:
        return _INACTIVE
    return _active(token) if token.audience == audience else _INACTIVE


def _active(token: AccessToken) -> dict[str, Any]:
    return {"active": True, "token_type": token_type(token), **claims_for(token)}
