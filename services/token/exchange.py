"""Exchange a caller's token for one of the next hop (RFC 8693).

orders, having received storefront's token, gets one for stock: storefront stays the
subject, orders becomes the actor, and the new token is bound to what *orders* holds.
The steps:

1. Subject token and its type are there, both of a kind we know; no actor token, because
   the actor is the authenticated client itself (section 2.1).
2. The subject token is good, and the client is its audience. That the client cannot
   show the subject's certificate is the point: it was sent the token, it did not steal
   it, and a token sent to somebody else is of no use here (oauth.md, 116).
3. `may_act`, if the subject token has it, names this client (section 4.4).
4. There is one target, said as `resource`, as `audience` or as both: a service of the
   topology has one name for the two (section 2.1). The topology has the edge, and lets
   the scopes that the caller brought reach as far (section 5: never wider).
5. The chain of actors stays short, and the new token ends no later than the old one.

The binding is made anew (`issue_for`), never copied from the subject token, and never
dropped: a client of bearer tokens cannot exchange a bound one.
"""

from collections.abc import Mapping
from typing import Any

from services.proof.access_token import AccessToken
from services.token.call import Call
from services.token.client_credentials import issue_for, only_resource
from services.token.clients import Client
from services.token.errors import (
    InvalidRequestError,
    InvalidScopeError,
    InvalidSubjectTokenError,
    InvalidTargetError,
)
from services.token.tokens import is_opaque

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
_JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
TYPES = frozenset({ACCESS_TOKEN_TYPE, _JWT_TYPE})
_LONGEST_CHAIN = 4  # actors; a longer one is a loop, or hides who began it


def subject_token(call: Call) -> str:
    """Return the text of the token that `call` wants to exchange.

    Raises:
        InvalidRequestError: it or its type is missing, or a parameter is there that
            this token service has no use for.
    """
    token = call.form.required("subject_token")  # 1
    kind = call.form.required("subject_token_type")
    if kind not in TYPES:
        raise InvalidRequestError("subject_token_type is no access token")
    if kind == _JWT_TYPE and is_opaque(token):
        raise InvalidRequestError("subject_token_type is that of a JWT")
    if call.form.single.keys() & {"actor_token", "actor_token_type"}:
        raise InvalidRequestError("the actor is the client: no actor_token is taken")
    requested = issued_type(call)
    if requested not in TYPES:
        raise InvalidRequestError("requested_token_type is no access token")
    if requested == _JWT_TYPE and call.client.opaque:
        raise InvalidRequestError("this client's tokens are no JWTs")
    return token


def issued_type(call: Call) -> str:
    """Return the type that the new token is asked for as (section 2.2.1)."""
    return call.form.single.get("requested_token_type", ACCESS_TOKEN_TYPE)


def exchange(call: Call, subject: AccessToken, *, issuer: str) -> AccessToken:
    """Return the token that `call` gets for the verified `subject` token.

    Raises:
        TokenRequestError: the subclass says which step refused.
    """
    client = call.client
    if client.audience is None or subject.audience != client.audience:  # 2
        raise InvalidSubjectTokenError(
            f"{client.client_id} is not the audience {subject.audience!r}"
        )
    if client.binding == "none" and subject.confirmation is not None:
        raise InvalidSubjectTokenError("a bound token is not exchanged for an unbound")
    _check_may_act(subject, client.client_id, issuer)  # 3
    targets = dict.fromkeys((*call.form.resources, *call.form.audiences))
    resource = only_resource(tuple(targets))
    scopes = _reachable(client, subject, resource, call.form.single.get("scope"))  # 4
    return issue_for(
        call,
        issuer=issuer,
        audience=resource,
        scopes=scopes,
        subject=subject.subject,
        ends=subject.expires_at,  # 5
        actor=_actor(client.client_id, subject.actor),
    )


def _check_may_act(subject: AccessToken, client_id: str, issuer: str) -> None:
    """Check who may act: a `sub` is ours unless an `iss` says otherwise (4.4)."""
    named = subject.may_act
    if named is not None and (
        named.get("sub") != client_id or named.get("iss", issuer) != issuer
    ):
        raise InvalidSubjectTokenError("may_act names another client")


def _reachable(
    client: Client, subject: AccessToken, resource: str, asked: str | None
) -> frozenset[str]:
    """Return the scopes that the subject's own scopes let the client have there."""
    edge = client.audiences.get(resource)
    if not edge:
        raise InvalidTargetError(f"{client.client_id} may not call {resource!r}")
    reachable = edge & frozenset(
        scope
        for held in subject.scopes
        for scope in client.delegates.get(held, {}).get(resource, frozenset())
    )
    wanted = reachable if asked is None else frozenset(asked.split(" "))
    if not wanted or not wanted <= reachable:
        excess = sorted(wanted - reachable)
        raise InvalidScopeError(f"{sorted(subject.scopes)} do not reach {excess}")
    return wanted


def _actor(client_id: str, earlier: Mapping[str, object] | None) -> dict[str, Any]:
    """Return the `act` claim: the newest actor outermost (section 4.1)."""
    depth, link = 1, earlier
    while isinstance(link, Mapping):
        depth, link = depth + 1, link.get("act")  # type: ignore[assignment]  # JSON
    if depth > _LONGEST_CHAIN:
        raise InvalidSubjectTokenError(f"a chain of {depth} actors")
    actor: dict[str, Any] = {"sub": client_id}
    return actor if earlier is None else actor | {"act": dict(earlier)}
