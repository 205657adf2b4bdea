"""Decide what token a client gets for itself (RFC 6749, section 4.4; RFC 8707).

1. Exactly one resource, absolute, without query and fragment (RFC 8707, section 2).
2. The topology has the edge, and every scope asked for (RFC 6749, section 3.3).

`issue_for`, which the token exchange uses too, binds the token to what the client
holds: the certificate of this connection (RFC 8705, section 3), or the key of its DPoP
proof (RFC 9449, section 5). Only a client registered for bearer tokens, by name, gets
one that is bound to nothing.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from secrets import token_urlsafe
from urllib.parse import urlsplit

from services.proof.access_token import AccessToken
from services.proof.binding import confirmation, confirmation_of_key
from services.token.call import Call
from services.token.errors import (
    InvalidRequestError,
    InvalidTargetError,
    ProofRefusedError,
)

CLIENT_CREDENTIALS = "client_credentials"
_TOKEN_ID_BYTES = 16  # 128 bits (FAPI 2.0, section 5.4.1)


def client_credentials(call: Call, *, issuer: str) -> AccessToken:
    """Return the access token that `call` gets for the client itself.

    Raises:
        TokenRequestError: the subclass says which step refused.
    """
    resource = only_resource(call.form.resources)  # 1
    scopes = call.client.scopes_at(resource, call.form.single.get("scope"))  # 2
    return issue_for(
        call,
        issuer=issuer,
        audience=resource,
        scopes=scopes,
        subject=call.client.client_id,
    )


def issue_for(  # noqa: PLR0913 - a token has that many parts
    call: Call,
    *,
    issuer: str,
    audience: str,
    scopes: frozenset[str],
    subject: str,
    ends: datetime | None = None,
    actor: Mapping[str, object] | None = None,
) -> AccessToken:
    """Return a token for the client of `call`, bound to what it holds.

    Raises:
        ProofRefusedError: the client's tokens are bound to a key, and no proof came.
        InvalidRequestError: a proof came with a client whose tokens take none.
    """
    expires_at = call.now + call.client.lifetime
    return AccessToken(
        issuer=issuer,
        audience=audience,
        subject=subject,
        client_id=call.client.client_id,
        scopes=scopes,
        issued_at=call.now,
        expires_at=expires_at if ends is None else min(expires_at, ends),
        token_id=token_urlsafe(_TOKEN_ID_BYTES),
        confirmation=_binding(call),
        actor=actor,
    )


def _binding(call: Call) -> dict[str, str] | None:
    """Return the one confirmation member, of the kind the client is registered for."""
    if call.client.binding == "dpop":
        if call.proof is None:
            raise ProofRefusedError("tokens of this client are bound to a DPoP key")
        return confirmation_of_key(call.proof.thumbprint)
    if call.proof is not None:
        # Its sender expects a token bound to the key and would get another one: a
        # silent downgrade (RFC 9449, section 5).
        raise InvalidRequestError("this client is not registered for DPoP")
    if call.client.binding == "none":
        return None
    return confirmation(call.peer.thumbprint)


def only_resource(resources: Sequence[str]) -> str:
    """Return the one resource that was asked for.

    Raises:
        InvalidTargetError: none, several, or no absolute URI without query or fragment.
    """
    if len(resources) != 1:
        raise InvalidTargetError(f"{len(resources)} resources, one is needed")
    try:
        uri = urlsplit(resources[0])
    except ValueError:
        raise InvalidTargetError("the resource is no URI") from None
    if not uri.scheme or not uri.netloc or "?" in resources[0] or "#" in resources[0]:
        raise InvalidTargetError("the resource is no absolute URI without a query")
    return resources[0]
