"""Keys that sign access tokens, and the public halves that are published (RFC 7517).

All are P-256 and go by their RFC 7638 thumbprint, so that no two have one key id. Where
they lie is for `key_files`; when one takes over from another, for `rotation`.
"""

import json
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.errors import ServiceError

ALGORITHM = "ES256"


class SigningKeyError(ServiceError):
    """A signing key cannot be read, made or kept, or others could read it too."""


class PublishedKey:
    """The public half of a key that signs, will sign, or has signed."""

    def __init__(self, key: ECKey) -> None:
        self._key = key
        self.key_id = key.thumbprint()

    def public_key(self) -> ECKey:
        """Return the public half, to check with."""
        return ECKey.import_key(self._key.as_dict(private=False))

    def public_jwk(self) -> dict[str, Any]:
        """Return the public key as a member of a JWKS."""
        public = self._key.as_dict(private=False)
        return {**public, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}

    def public_pem(self) -> bytes:
        """Return the public half as a file holds it."""
        return self._key.as_pem(private=False)


class SigningKey(PublishedKey):
    """A private key that signs."""

    @classmethod
    def make(cls) -> "SigningKey":
        """Return a new key."""
        return cls(ECKey.generate_key("P-256"))

    def sign(self, claims: dict[str, Any], *, kind: str) -> str:
        """Return `claims` as a JWS in compact form whose `typ` is `kind`."""
        header = {"alg": ALGORITHM, "typ": kind, "kid": self.key_id}
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return jws.serialize_compact(header, payload, self._key)

    def private_pem(self) -> bytes:
        """Return the whole key as a file holds it."""
        return self._key.as_pem(private=True)


def read_key(pem: bytes) -> PublishedKey:
    """Return the key in a PEM file: a `SigningKey` if it is private.

    Raises:
        SigningKeyError: it is no P-256 key.
    """
    try:
        key = ECKey.import_key(pem)
    except (JoseError, ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise SigningKeyError(f"no key: {type(error).__name__}") from None
    if key.curve_name != "P-256":
        raise SigningKeyError(f"not a P-256 key: {key.curve_name}")
    return SigningKey(key) if key.is_private else PublishedKey(key)
