"""The public keys of all replicas of the token service, and the private one of this.

Each replica signs with keys of its own, made where it runs. What it publishes is the
union: its own keys, and what the others publish as theirs at `OWN_KEYS`.
"""

from collections.abc import Sequence
from logging import WARNING
from typing import Any

from joserfc.jwk import ECKey

from services import log
from services.proof.errors import UnknownKeyError
from services.proof.key_set import KeySetUnavailableError, RemoteKeySet
from services.token.own_keys import OwnKeys
from services.token.signing_keys import ALGORITHM, SigningKey

OWN_KEYS = "/jwks/own"


class KeyRing:
    """Keys to sign with and to check with."""

    def __init__(self, own: OwnKeys, siblings: Sequence[RemoteKeySet] = ()) -> None:
        self._own = own
        self._siblings = siblings

    @property
    def own(self) -> SigningKey:
        """The key with which this replica signs now."""
        return self._own.signing()

    async def key(self, key_id: str) -> ECKey:
        """Return the public key of a replica.

        Raises:
            UnknownKeyError: no replica has it.
            KeySetUnavailableError: one that may have it does not answer.
        """
        for own in self._own.published():
            if own.key_id == key_id:
                return own.public_key()
        unavailable = None
        for sibling in self._siblings:
            try:
                return await sibling.key(key_id)
            except (UnknownKeyError, KeySetUnavailableError) as error:
                log.event("replica.without_key", level=WARNING, reason=error)
                if isinstance(error, KeySetUnavailableError):
                    unavailable = error
        if unavailable is not None:
            # Unknown would be answered as void: revoked, which nobody has done then.
            raise unavailable
        raise UnknownKeyError(f"no replica has the key {key_id!r}")

    def own_document(self) -> dict[str, Any]:
        """Return the JWKS of this replica alone."""
        return {"keys": [key.public_jwk() for key in self._own.published()]}

    async def document(self) -> dict[str, Any]:
        """Return the JWKS of all replicas that answer, or have answered lately.

        A key id stands in it once, even if a state directory was copied: guards refuse
        a set that holds one twice.
        """
        keys = {key["kid"]: key for key in self.own_document()["keys"]}
        for sibling in self._siblings:
            try:
                found = await sibling.keys()
            except KeySetUnavailableError as error:
                log.event("replica.without_keys", level=WARNING, reason=error)
                continue
            for key_id, key in found.items():
                member = {**key.as_dict(private=False), "use": "sig", "alg": ALGORITHM}
                keys.setdefault(key_id, member)
        return {"keys": list(keys.values())}
