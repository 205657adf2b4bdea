"""Keys that sign access tokens, and the public halves that are published (RFC 7517).

All are P-256 and go by their RFC 7638 thumbprint, so that no two have one key id. Where
they lie is for `key_files`; when one takes over from another, for `rotation`.
"""

from base64 import urlsafe_b64encode
from typing import Any

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.errors import ServiceError

ALGORITHM = "ES256"
_ECDSA = ec.ECDSA(hashes.SHA256())
_COORDINATE = 32  # bytes of P-256 (RFC 7518, section 3.4)


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

    def __init__(self, key: ECKey) -> None:
        super().__init__(key)
        private = key.private_key
        if private is None:
            raise SigningKeyError("a public key signs nothing")
        self._private = private
        self._heads: dict[str, str] = {}

    @classmethod
    def make(cls) -> "SigningKey":
        """Return a new key."""
        return cls(ECKey.generate_key("P-256"))

    def sign(self, claims: dict[str, Any], *, kind: str) -> str:
        """Return `claims` as a JWS in compact form whose `typ` is `kind`."""
        # Compact serialization as in RFC 7515, section 3.1, with the header made once a
        # key: the library's way checks and builds it anew for each token, which costs
        # as much as the signature.
        text = f"{self._head(kind)}.{_encoded(msgspec.json.encode(claims))}"
        r, s = decode_dss_signature(self._private.sign(text.encode(), _ECDSA))
        signature = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        return f"{text}.{_encoded(signature)}"

    def _head(self, kind: str) -> str:
        if kind not in self._heads:
            header = {"alg": ALGORITHM, "typ": kind, "kid": self.key_id}
            self._heads[kind] = _encoded(msgspec.json.encode(header))
        return self._heads[kind]

    def private_pem(self) -> bytes:
        """Return the whole key as a file holds it."""
        return self._key.as_pem(private=True)


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


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
