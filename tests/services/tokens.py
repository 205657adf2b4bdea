"""A good access token, every part of which a test can make wrong.

    signer = Signer()
    text = signer.sign(HEADER | {"kid": signer.key_id}, claims())   # good
    text = signer.token(claims(aud=ABSENT))                         # one fault

Whatever is signed here is signed for real, so a test that spoils the header or the
claims is refused for that fault alone and never for its signature. `compact` puts the
three parts together without any check, to make what no library would make.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

NOW = datetime(2026, 9, 21, 12, 0, 0, tzinfo=UTC)
ISSUER = "https://localhost:8440"
AUDIENCE = "https://orders.shop.internal"
# RFC 8705, appendix A: the thumbprint of tests/vectors/rfc8705-appendix-a.pem.
THUMBPRINT = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"


class Absent:
    """Given for a member, leaves it out."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = Absent()


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good token at `NOW`, but for the `changes`."""
    issued_at = int(NOW.timestamp())
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "storefront",
        "client_id": "storefront",
        "scope": "orders.read",
        "iat": issued_at,
        "exp": issued_at + 300,
        "jti": "0123456789abcdef",
        "cnf": {"x5t#S256": THUMBPRINT},
    }
    return _changed(good, changes)


class Signer:
    """A token service's key, in the hands of somebody who signs anything with it."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self.public_pem = self._private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        self.key = ECKey.import_key(self.public_pem)
        self.key_id: str = self.key.thumbprint()

    def header(self, **changes: Any) -> dict[str, Any]:
        """Return the header of a good token, but for the `changes`."""
        good = {"alg": "ES256", "typ": "at+jwt", "kid": self.key_id}
        return _changed(good, changes)

    def token(self, payload: Mapping[str, Any] | bytes | None = None) -> str:
        """Return a signed token with a good header."""
        return self.sign(self.header(), claims() if payload is None else payload)

    def sign(
        self, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes
    ) -> str:
        """Return any header and payload, signed with ES256 (RFC 7518, 3.4)."""
        signed = f"{encode(header)}.{encode(payload)}".encode()
        r, s = decode_dss_signature(self._private.sign(signed, ec.ECDSA(SHA256())))
        return compact(header, payload, r.to_bytes(32) + s.to_bytes(32))

    def jwk(self, **changes: Any) -> dict[str, Any]:
        """Return the public key as a member of a JWKS, but for the `changes`."""
        good = self.key.as_dict(private=False)
        return _changed(
            {**good, "kid": self.key_id, "use": "sig", "alg": "ES256"}, changes
        )


def compact(
    header: Mapping[str, Any] | bytes,
    payload: Mapping[str, Any] | bytes,
    signature: bytes,
) -> str:
    """Join three parts to the compact form (RFC 7515, section 7.1)."""
    return f"{encode(header)}.{encode(payload)}.{encode(signature)}"


def encode(part: Mapping[str, Any] | bytes) -> str:
    """Return base64url without padding; an object becomes JSON first."""
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _changed(good: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in {**good, **changes}.items()
        if value is not ABSENT
    }
