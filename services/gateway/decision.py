"""Decide whether what the token service said of a token opens a route.

What the token is, who sent it and `now` in; a grant or the reason for the refusal out.
No I/O, no state; asked anew for each request, whatever is cached.

1. The token is for this gateway (RFC 7662, section 2.2 leaves that to both sides).
2. It is in time.
3. Whoever sent it is its holder: `proof.binding`. The gateway is where a binding ends,
   so a token without one is never taken here.
4. It has every scope that the route needs.
"""

from datetime import datetime

from services.guard.grant import Grant
from services.proof.access_token import AccessToken, check_times
from services.proof.binding import check_holder
from services.proof.dpop import DpopProof
from services.proof.errors import WrongAudienceError
from services.wire.peer import Peer


def decide(  # noqa: PLR0913 - a decision looks at all of the request
    token: AccessToken,
    peer: Peer,
    *,
    audience: str,
    scopes: frozenset[str],
    now: datetime,
    proof: DpopProof | None = None,
) -> Grant:
    """Return the grant that `token` gives to `peer`.

    Raises:
        InvalidTokenError: the subclass says which step refused.
        InsufficientScopeError: it lacks a scope.
    """
    if token.audience != audience:  # 1
        raise WrongAudienceError(f"for {token.audience!r}, this is {audience!r}")
    check_times(token, now)  # 2
    check_holder(token.confirmation, presented=peer.thumbprint, proof=proof)  # 3
    grant = Grant(
        client_id=token.client_id,
        subject=token.subject,
        scopes=token.scopes,
        audience=token.audience,
        expires_at=token.expires_at,
        token_id=token.token_id,
        bound=True,
        peer=peer,
        actor=token.actor,
    )
    for scope in sorted(scopes):  # 4
        grant.require(scope)
    return grant
