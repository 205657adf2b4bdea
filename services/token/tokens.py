"""Access tokens as text: issued, and read back by whoever issued them.

A JWT says everything itself (RFC 9068). An opaque token is a reference: 256 random bits
of which the store keeps the hash, beside what a JWT would have said. Reading one back
means the same for both: genuine, in time, and not revoked (RFC 7662, section 4).

What is kept under a handle never changes and is deleted only after its end, so that it
is asked of the store and read once. Time and revocation are looked at each time.
"""

import json
from collections import OrderedDict
from datetime import datetime
from secrets import token_urlsafe

from services.proof import jws
from services.proof.access_token import (
    TYPE,
    AccessToken,
    check_times,
    claims_for,
    read_claims,
    verify_access_token,
)
from services.proof.binding import KEY_THUMBPRINT
from services.proof.errors import MalformedTokenError, RevokedTokenError
from services.state.entry import digest
from services.state.store import Store
from services.token.key_ring import KeyRing

_PREFIX = "cbo_"  # lets scanners of leaked secrets know one when they see it
_RANDOM = 32  # bytes
_REMEMBERED = 1024  # opaque tokens; about 2 kB each


class Tokens:
    """The tokens of one issuer."""

    def __init__(self, issuer: str, keys: KeyRing, store: Store) -> None:
        self.issuer = issuer
        self.keys = keys
        self.store = store
        self._opened: OrderedDict[bytes, AccessToken] = OrderedDict()

    async def issue(self, token: AccessToken, *, opaque: bool) -> str:
        """Return the text to hand out for `token`.

        Raises:
            StateUnavailableError: an opaque token cannot be kept now.
        """
        if not opaque:
            return self.keys.own.sign(claims_for(token), kind=TYPE)
        text = _PREFIX + token_urlsafe(_RANDOM)
        record = json.dumps(claims_for(token)).encode()
        await self.store.put_token(text, record, token.expires_at)
        return text

    async def read(self, text: str, now: datetime) -> AccessToken:
        """Return the token that `text` is, whoever it is for.

        Raises:
            InvalidTokenError: it is none of ours, over, or revoked.
            StateUnavailableError: whether it is revoked cannot be said now.
        """
        if is_opaque(text):
            token = await self._opaque(text, now)
        else:
            unverified = jws.parse(text)
            key = await self.keys.key(unverified.key_id)
            token = verify_access_token(
                unverified, key, issuer=self.issuer, audience=None, now=now
            )
        if await self.store.is_revoked(token.token_id):
            raise RevokedTokenError(f"token {token.token_id} was revoked")
        return token

    async def _opaque(self, text: str, now: datetime) -> AccessToken:
        # By its hash, as in the store: nothing keeps what somebody could show.
        name = digest(text)
        token = self._opened.get(name)
        if token is None:
            record = await self.store.get_token(text)
            if record is None:
                raise MalformedTokenError("an opaque token that nobody was given")
            token = self._opened[name] = read_claims(json.loads(record))
            if len(self._opened) > _REMEMBERED:
                self._opened.popitem(last=False)
        else:
            self._opened.move_to_end(name)
        check_times(token, now)
        return token


def is_opaque(text: str) -> bool:
    """Return whether `text` is a reference, if it is a token of ours at all."""
    return text.startswith(_PREFIX)


def token_type(token: AccessToken) -> str:
    """Return the scheme under which `token` is to be sent (RFC 9449, section 5)."""
    bound_to_key = (
        token.confirmation is not None and KEY_THUMBPRINT in token.confirmation
    )
    return "DPoP" if bound_to_key else "Bearer"
