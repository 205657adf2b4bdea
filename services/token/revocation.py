"""Void a token before its time, and tell everybody (RFC 7009).

The client that a token was issued to can revoke it, whatever its kind. Guards poll the
list of what is void and refuse a revoked JWT within seconds; `version` is an ETag, so
that a poll with nothing new costs a few bytes.
"""

from logging import INFO

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services import audit
from services.proof.errors import InvalidTokenError
from services.state.store import StateUnavailableError
from services.token.answer import NO_STORE
from services.token.call import Call
from services.token.errors import UnauthorizedClientError
from services.token.tokens import Tokens

FEED = "/revocations"


async def revoke(call: Call, tokens: Tokens) -> Response:
    """Answer a revocation request; an unknown token is no error (section 2.2).

    Raises:
        UnauthorizedClientError: the token was issued to another client.
        InvalidRequestError: there is no token to revoke.
        StateUnavailableError: it cannot be written down now.
    """
    try:
        token = await tokens.read(call.form.required("token"), call.now)
    except InvalidTokenError as error:
        _note(call, "revocation.of_nothing", reason=str(error))
        return Response(headers=NO_STORE)
    if token.client_id != call.client.client_id:
        raise UnauthorizedClientError(f"token {token.token_id} is another client's")
    await tokens.store.revoke(token.token_id, token.expires_at)
    _note(call, "token.revoked", token_id=token.token_id)
    return Response(headers=NO_STORE)


def _note(call: Call, event: str, **details: str) -> None:
    audit.granted(
        event,
        client_id=call.client.client_id,
        peer=call.peer.spiffe_id,
        serial=call.peer.serial,
        level=INFO,
        **details,
    )


async def feed(request: Request, tokens: Tokens) -> Response:
    """Answer with everything that is void now, or with 304 if the asker knows it."""
    try:
        revocations = await tokens.store.revocations()
    except StateUnavailableError:
        return JSONResponse(
            {"error": "temporarily_unavailable"}, status_code=503, headers=NO_STORE
        )
    headers = {"ETag": f'"{revocations.version}"', "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    void = [token_id for token_id, _ in revocations.entries]
    return JSONResponse({"revoked": void}, headers=headers)
