"""The public keys of all replicas of the token service, and the private one of this.

Each replica signs with a key of its own, made where it runs. What it publishes is the
union: its own key, and what the others publish as theirs at `OWN_KEYS`.
"""

from collections.abc import Sequence
from logging import WARNING
from typing import Any

from joserfc.jwk import ECKey

from services import log
from services.proof.errors import UnknownKeyError
from services.proof.key_set import KeySetUnavailableError, RemoteKeySet
from services.token.signing_keys import ALGORITHM, SigningKey

OWN_KEYS = "/jwks/own"


class KeyRing:
    """Keys to sign with and to check with."""

    def __init__(self, own: SigningKey, siblings: Sequence[RemoteKeySet] = ()) -> None:
        self.own = own
        self._siblings = siblings

    async def key(self, key_id: str) -> ECKey:
        """Return the public key of a replica.

        Raises:
            UnknownKeyError: no replica has it.
        """
        if key_id == self.own.key_id:
            return self.own.public_key()
        for sibling in self._siblings:
            try:
                return await sibling.key(key_id)
            except (UnknownKeyError, KeySetUnavailableError) as error:
                log.event("replica.without_key", level=WARNING, reason=error)
        raise UnknownKeyError(f"no replica has the key {key_id!r}")

    def own_document(self) -> dict[str, Any]:
        """Return the JWKS of this replica alone."""
        return {"keys": [self.own.public_jwk()]}

    async def document(self) -> dict[str, Any]:
        """Return the JWKS of all replicas that answer, or have answered lately."""
        keys = self.own_document()["keys"]
        for sibling in self._siblings:
            try:
                found = await sibling.keys()
            except KeySetUnavailableError as error:
                log.event("replica.without_keys", level=WARNING, reason=error)
                continue
            keys += [
                {**key.as_dict(private=False), "use": "sig", "alg": ALGORITHM}
                for key in found.values()
            ]
        return {"keys": keys}
