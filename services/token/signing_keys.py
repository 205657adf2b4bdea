"""The key that signs access tokens: made here, kept here, published in public.

One P-256 key a token service replica, in its own state directory, mode 0600. What
leaves the process is the public half, in the JWKS (RFC 7517), under its RFC 7638
thumbprint as key id.
"""

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from services.errors import ServiceError

ALGORITHM = "ES256"
_FILE = "signing-key.pem"


class SigningKeyError(ServiceError):
    """The signing key cannot be read, or others could read it too."""


class SigningKey:
    """A private key that signs, and the public half of it."""

    def __init__(self, key: ECKey) -> None:
        self._key = key
        self.key_id = key.thumbprint()

    def sign(self, claims: dict[str, Any], *, kind: str) -> str:
        """Return `claims` as a JWS in compact form whose `typ` is `kind`."""
        header = {"alg": ALGORITHM, "typ": kind, "kid": self.key_id}
        payload = json.dumps(claims, separators=(",", ":")).encode()
        return jws.serialize_compact(header, payload, self._key)

    def public_key(self) -> ECKey:
        """Return the public half, to check with."""
        return ECKey.import_key(self._key.as_dict(private=False))

    def public_jwk(self) -> dict[str, Any]:
        """Return the public key as a member of a JWKS."""
        public = self._key.as_dict(private=False)
        return {**public, "kid": self.key_id, "use": "sig", "alg": ALGORITHM}


def load_or_make(state: Path) -> SigningKey:
    """Return the signing key in the directory `state`; the first caller makes it.

    Raises:
        SigningKeyError: the file is no P-256 key, or its mode lets others read it.
    """
    path = state / _FILE
    try:
        if not path.exists():
            _make(path)
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise SigningKeyError(
                f"{path} can be read by others; its mode must be 0600"
            )
        key = ECKey.import_key(path.read_bytes())
    except OSError as error:
        raise SigningKeyError(f"{path}: {error.strerror}") from None
    except (JoseError, ValueError, TypeError) as error:  # TypeError: it is encrypted
        raise SigningKeyError(f"{path}: no key: {type(error).__name__}") from None
    if key.curve_name != "P-256" or not key.is_private:
        raise SigningKeyError(f"{path}: not a private P-256 key")
    return SigningKey(key)


def _make(path: Path) -> None:
    """Write a new key so that it appears whole or not at all, and replaces none."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(ECKey.generate_key("P-256").as_pem(private=True))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first: its key counts
            os.link(partial, path)
    finally:
        partial.unlink()
