"""A good DPoP proof, every part of which a test can make wrong.

    prover = Prover()
    text = prover.proof()                            # good, at NOW
    text = prover.proof(htm="GET")                   # one fault, signed for real
    text = prover.sign(prover.header(typ="JWT"), proof_claims())

`EdProver` and `RsaProver` are the same with other kinds of keys.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc.jwk import OKPKey, RSAKey

from tests.services.tokens import ABSENT, NOW, Signer, compact, encode

METHOD = "POST"
URI = "https://token.shop.internal/token"


def proof_claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good proof at `NOW`, but for the `changes`."""
    good = {
        "jti": "-BwC3ESc6acc2lTc",
        "htm": METHOD,
        "htu": URI,
        "iat": int(NOW.timestamp()),
    }
    return _changed(good, changes)


class Proving:
    """What all provers do, whatever their key."""

    algorithm: str
    thumbprint: str

    def public(self) -> dict[str, Any]:
        """Return the key as a JWK of its required members."""
        raise NotImplementedError

    def sign(
        self, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes
    ) -> str:
        """Return any header and payload, signed."""
        raise NotImplementedError

    def header(self, **changes: Any) -> dict[str, Any]:
        """Return the header of a good proof, but for the `changes`."""
        good = {"typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.public()}
        return _changed(good, changes)

    def proof(self, **changes: Any) -> str:
        """Return a signed proof, good but for the `changes` to its claims."""
        return self.sign(self.header(), proof_claims(**changes))


class Prover(Proving):
    """A P-256 key in the hands of somebody who signs anything with it."""

    algorithm = "ES256"

    def __init__(self) -> None:
        self._signer = Signer()
        self.thumbprint = self._signer.key_id

    def public(self) -> dict[str, Any]:
        """Return the key as a JWK of its required members."""
        members = self._signer.key.as_dict(private=False)
        return {name: members[name] for name in ("kty", "crv", "x", "y")}

    def sign(
        self, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes
    ) -> str:
        """Return any header and payload, signed with ES256."""
        return self._signer.sign(header, payload)


class EdProver(Proving):
    """The same with an Ed25519 key."""

    algorithm = "Ed25519"

    def __init__(self) -> None:
        self._private = ed25519.Ed25519PrivateKey.generate()
        self.key = OKPKey.import_key(self._private.public_key())
        self.thumbprint = self.key.thumbprint()

    def public(self) -> dict[str, Any]:
        """Return the key as a JWK of its required members."""
        return dict(self.key.as_dict(private=False))

    def sign(
        self, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes
    ) -> str:
        """Return any header and payload, signed with Ed25519."""
        signed = f"{encode(header)}.{encode(payload)}".encode()
        return compact(header, payload, self._private.sign(signed))


class RsaProver(Proving):
    """The same with an RSA key."""

    algorithm = "PS256"

    def __init__(self) -> None:
        self._private = rsa.generate_private_key(65537, 2048)
        numbers = self._private.public_key().public_numbers()
        self._public = {
            "kty": "RSA",
            "n": encode(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
            "e": encode(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8)),
        }
        self.thumbprint = RSAKey.import_key(self._private.public_key()).thumbprint()

    def public(self) -> dict[str, Any]:
        """Return the key as a JWK of its required members."""
        return dict(self._public)

    def sign(
        self, header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes
    ) -> str:
        """Return any header and payload, signed with PS256 (RFC 7518, 3.5)."""
        signed = f"{encode(header)}.{encode(payload)}".encode()
        scheme = padding.PSS(padding.MGF1(SHA256()), padding.PSS.DIGEST_LENGTH)
        return compact(header, payload, self._private.sign(signed, scheme, SHA256()))


def _changed(good: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in {**good, **changes}.items()
        if value is not ABSENT
    }
