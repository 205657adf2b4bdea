"""Decide what token a client gets (RFC 6749, section 4.4; RFC 8707; RFC 9068).

Values and `now` in, an unsigned access token out: no I/O. The steps:

1. The grant type is one we offer (RFC 6749, section 4.4.2).
2. Exactly one resource, absolute, without query and fragment (RFC 8707, section 2).
3. The topology has the edge, and every scope asked for (RFC 6749, section 3.3).
4. The token is bound to the certificate on this connection (RFC 8705, section 3),
   unless the client is registered, by name, for bearer tokens.
"""

from collections.abc import Sequence
from datetime import datetime
from secrets import token_urlsafe
from urllib.parse import urlsplit

from services.proof.access_token import AccessToken
from services.proof.binding import confirmation
from services.token.clients import Client
from services.token.errors import InvalidTargetError, UnsupportedGrantTypeError
from services.token.form import TokenForm
from services.wire.peer import Peer

CLIENT_CREDENTIALS = "client_credentials"
_TOKEN_ID_BYTES = 16  # 128 bits (FAPI 2.0, section 5.4.1)


def grant(
    form: TokenForm, client: Client, peer: Peer, *, issuer: str, now: datetime
) -> AccessToken:
    """Return the access token that answers `form` for the authenticated `client`.

    Raises:
        TokenRequestError: the subclass says which step refused.
    """
    grant_type = form.required("grant_type")  # 1
    if grant_type != CLIENT_CREDENTIALS:
        raise UnsupportedGrantTypeError(f"grant type {grant_type!r}")
    resource = _only_resource(form.resources)  # 2
    scopes = client.scopes_at(resource, form.single.get("scope"))  # 3
    return AccessToken(
        issuer=issuer,
        audience=resource,
        subject=client.client_id,
        client_id=client.client_id,
        scopes=scopes,
        issued_at=now,
        expires_at=now + client.lifetime,
        token_id=token_urlsafe(_TOKEN_ID_BYTES),
        confirmation=confirmation(peer.thumbprint) if client.bound else None,  # 4
    )


def _only_resource(resources: Sequence[str]) -> str:
    if len(resources) != 1:
        raise InvalidTargetError(f"{len(resources)} resources, one is needed")
    try:
        uri = urlsplit(resources[0])
    except ValueError:
        raise InvalidTargetError("the resource is no URI") from None
    if not uri.scheme or not uri.netloc or "?" in resources[0] or "#" in resources[0]:
        raise InvalidTargetError("the resource is no absolute URI without a query")
    return resources[0]
