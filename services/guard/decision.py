"""Decide whether a token, presented over a connection, opens a request.

Token, key, peer, proof and `now` in; a grant or the reason for the refusal out. No I/O,
no state. The steps:

1. The token is an access token of the expected issuer, for this audience, in time
   (RFC 9068, section 4): `proof.access_token`.
2. Whoever sent it is its holder: the certificate of *this* connection (RFC 8705,
   section 3), or the key of this request's DPoP proof (RFC 9449, section 7.1):
   `proof.binding`. A token without a binding passes only if its client stands, by
   name, in `bearer_clients`.

What scope a request needs only the application knows: it asks `Grant.require`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from joserfc.jwk import ECKey

from services.guard.grant import Grant
from services.proof.access_token import (
    AccessToken,
    Opened,
    open_token,
    verify_access_token,
)
from services.proof.binding import check_holder
from services.proof.dpop import DpopProof
from services.proof.jws import UnverifiedToken
from services.wire.peer import Peer


@dataclass(frozen=True, slots=True)
class Rules:
    """What this resource service demands of a token."""

    issuer: str
    audience: str
    bearer_clients: frozenset[str]


def decide(  # noqa: PLR0913 - a decision looks at all of the request
    token: UnverifiedToken,
    key: ECKey,
    peer: Peer,
    *,
    rules: Rules,
    now: datetime,
    proof: DpopProof | None = None,
    opener: Callable[[UnverifiedToken, ECKey], Opened] = open_token,
) -> Grant:
    """Return the grant that `token` gives to `peer`.

    Args:
        token: as it came.
        key: the published key that it names.
        peer: whose certificate the connection has.
        rules: what is demanded here.
        now: the present.
        proof: the verified proof of the request, if it came with one.
        opener: checks the signature, or remembers that it was good.

    Raises:
        InvalidTokenError: the subclass says which step refused.
    """
    verified = verify_access_token(  # 1
        token,
        key,
        issuer=rules.issuer,
        audience=rules.audience,
        now=now,
        opener=opener,
    )
    if proof is not None or not _may_be_unbound(verified, rules):  # 2
        check_holder(verified.confirmation, presented=peer.thumbprint, proof=proof)
    return Grant(
        client_id=verified.client_id,
        subject=verified.subject,
        scopes=verified.scopes,
        audience=verified.audience,
        expires_at=verified.expires_at,
        token_id=verified.token_id,
        bound=verified.confirmation is not None,
        peer=peer,
        actor=verified.actor,
    )


def _may_be_unbound(token: AccessToken, rules: Rules) -> bool:
    return token.confirmation is None and token.client_id in rules.bearer_clients
