"""Remember whom the guard let in: the same token, over the same certificate.

A caller uses a token for many requests. What was decided of the two, as bytes, stays
decided until something else changes that the decision stood on. So an entry is found by
the whole certificate and the whole Authorization field, which nobody shares who has not
both; and it counts only while

- the connection's certificate is not found revoked, or unknown (`wire.checked`);
- the process has the very configuration by which it was decided;
- the key that signed the token is published, the same object: a key set that is fetched
  anew has every token looked at again;
- it is not earlier than then, and neither token nor certificate has ended.

Whether the token was revoked is asked each time (`judgement`). Requests with a proof,
and callers of other trust domains, whose bundle may change under an open connection,
are judged anew each time. Only who was let in is remembered, at most so many.
"""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime

from joserfc.jwk import ECKey
from starlette.types import Scope

from services.config import ServiceConfig
from services.guard.credentials import bearer_field
from services.guard.grant import Grant
from services.proof.jws import UnverifiedToken
from services.proof.key_set import RemoteKeySet
from services.wire.peer import OUTSIDE, STATUS

_REMEMBERED = 2048  # about 3 kB each
_Key = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class LetIn:
    """A request that was let in, and by what."""

    grant: Grant
    token: UnverifiedToken
    key: ECKey
    config: ServiceConfig
    at: datetime

    def holds(self, now: datetime) -> bool:
        """Return whether time alone has not changed the decision."""
        grant = self.grant
        return self.at <= now < grant.expires_at and now <= grant.peer.not_after


class Remembered:
    """Those who were let in last."""

    def __init__(self, keys: RemoteKeySet, at_most: int = _REMEMBERED) -> None:
        self._keys = keys
        self._at_most = at_most
        self._known: OrderedDict[_Key, LetIn] = OrderedDict()

    def find(self, scope: Scope, config: ServiceConfig, now: datetime) -> LetIn | None:
        """Return what was decided of such a request, if it still stands."""
        key = _key(scope)
        found = self._known.get(key) if key is not None else None
        if found is None or key is None:
            return None
        if (
            found.config is config
            and found.holds(now)
            and self._keys.holds(found.token.key_id, found.key, now)
        ):
            self._known.move_to_end(key)
            return found
        del self._known[key]
        return None

    def keep(self, scope: Scope, let_in: LetIn) -> None:
        """Remember a request that was let in, if it may be."""
        key = _key(scope)
        own = let_in.config.trust_domain
        if key is None or let_in.grant.peer.spiffe_id.trust_domain != own:
            return
        self._known[key] = let_in
        if len(self._known) > self._at_most:
            self._known.popitem(last=False)


def _key(scope: Scope) -> _Key | None:
    """Return what an entry is found by; None for a request that is to be judged."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    certificate = tls.get("client_cert")
    if not certificate or tls.get(STATUS) is not None or tls.get(OUTSIDE):
        return None
    field = bearer_field(scope["headers"], scope["query_string"])
    return None if field is None else (certificate, field)
