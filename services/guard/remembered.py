"""Remember whom the guard let in: the same token, over the same certificate.

A caller uses a token for many requests. What was decided of the two, as bytes, stays
decided until something else changes that the decision stood on. So an entry is found by
the whole certificate and the whole Authorization field, which nobody shares who has not
both; and it counts only while

- the connection's certificate is not found revoked, or unknown (`wire.checked`);
- the process has the very configuration by which it was decided;
- the key set is fresh, and the same one that had the token's key: one that is fetched
  anew has every token looked at again;
- it is not earlier than then, and neither token nor certificate has ended.

Asked each time are whether the token was revoked, and the DPoP proof of a request that
came with one, which must be by the key that the token names (`judgement`). Callers of
other trust domains, whose bundle may change under an open connection, are judged anew
each time. Only who was let in is remembered, at most so many.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from joserfc.jwk import ECKey
from starlette.types import Scope

from services.config import ServiceConfig
from services.guard.credentials import brought
from services.guard.grant import Grant
from services.proof.jws import UnverifiedToken
from services.proof.key_set import RemoteKeySet
from services.wire.peer import OUTSIDE, STATUS

_REMEMBERED = 2048  # about 3 kB each
_Key = tuple[bytes, bytes, bool]


@dataclass(frozen=True, slots=True)
class LetIn:
    """A request that was let in, and by what."""

    grant: Grant
    token: UnverifiedToken
    by: str | None  # the thumbprint of the key whose proof came with it
    keys: Mapping[str, ECKey]  # among them the one that signed the token
    config: ServiceConfig
    since: datetime
    until: datetime  # the last moment at which neither token nor certificate has ended


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
            found.since <= now <= found.until
            and found.config is config
            and found.keys is self._keys.fresh(now)
        ):
            self._known.move_to_end(key)
            return found
        del self._known[key]
        return None

    def keep(  # noqa: PLR0913, PLR0917 - all that a decision stood on
        self,
        scope: Scope,
        grant: Grant,
        token: UnverifiedToken,
        by: str | None,
        key: ECKey,
        config: ServiceConfig,
        now: datetime,
    ) -> None:
        """Remember a request that was let in, if it may be."""
        found_by, keys = _key(scope), self._keys.fresh(now)
        if (
            found_by is None
            or keys is None
            or keys.get(token.key_id) is not key
            or grant.peer.spiffe_id.trust_domain != config.trust_domain
        ):
            return
        until = min(grant.expires_at - timedelta.resolution, grant.peer.not_after)
        self._known[found_by] = LetIn(grant, token, by, keys, config, now, until)
        if len(self._known) > self._at_most:
            self._known.popitem(last=False)


def _key(scope: Scope) -> _Key | None:
    """Return what an entry is found by; None for a request that is to be judged."""
    tls = (scope.get("extensions") or {}).get("tls") or {}
    certificate = tls.get("client_cert")
    if not certificate or tls.get(STATUS) is not None or OUTSIDE in tls:
        return None
    fields = brought(scope["headers"], scope["query_string"])
    return None if fields is None else (certificate, *fields)
