"""A CA key inside a PKCS#11 token: made there, used there, never seen (PKCS#11 v2.40).

`reference` comes here for a key file that refers to a token. The PIN is the key's
passphrase. The library is an extra of the project (`pip install certbound[pkcs11]`);
the module of the token's maker is loaded into this process, so who may write either
has the CA.

What this does not prove: that the token keeps its promise. It says of the key that it
is sensitive and cannot be extracted; whether that is so is its maker's word.
"""

import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Never, Self

import pkcs11
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pkcs11.util.ec import (
    encode_ec_public_key,
    encode_ecdsa_signature,
    encode_named_curve_parameters,
)

from pki.pkcs11.place import Place, TokenError
from pki.pkcs11.session import said_plainly, serial_of, session_of, token_at

_ID = 16  # bytes, random: the identifier of both halves in the token


class NoTokenKeyError(TokenError):
    """The token holds no such key, or more than one."""

    code = "token_key_missing"


class ForeignTokenKeyError(TokenError):
    """The token's key is another than the one that the CA knows."""

    code = "token_key_foreign"


class ExtractableKeyError(TokenError):
    """The token would give the key away."""

    code = "token_key_extractable"


@dataclass(frozen=True, slots=True)
class Made:
    """A key that was made in a token, and how it is found again."""

    key: "TokenKey"
    serial: str
    identifier: bytes


class TokenKey(ec.EllipticCurvePrivateKey):
    """A P-256 key that signs inside its token, and does nothing else."""

    def __init__(self, private: Any, public: ec.EllipticCurvePublicKey) -> None:
        self._private = private
        self._public = public

    def sign(
        self,
        data: bytes | bytearray | memoryview,
        signature_algorithm: ec.EllipticCurveSignatureAlgorithm,
    ) -> bytes:
        """Return the DER form of an ECDSA signature over SHA-256 of `data`.

        It is verified before it leaves: a fault in the token is no signature of ours.

        Raises:
            TokenError: the token is gone, or signed with something else.
        """
        if not isinstance(signature_algorithm, ec.ECDSA) or not isinstance(
            signature_algorithm.algorithm, hashes.SHA256
        ):
            raise TokenError("a key in a token signs with ECDSA and SHA-256 alone")
        with said_plainly():
            raw = self._private.sign(
                sha256(data).digest(), mechanism=pkcs11.Mechanism.ECDSA
            )
        try:
            signature = encode_ecdsa_signature(raw)
            self._public.verify(signature, data, signature_algorithm)
        except (InvalidSignature, ValueError) as error:
            raise ForeignTokenKeyError(
                "the token signs with another key than the one the CA knows"
            ) from error
        return signature

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half."""
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """The size in bits."""
        return self._public.key_size

    def exchange(self, *_: object, **__: object) -> Never:
        """Refuse."""
        _refuse()

    def private_numbers(self) -> Never:
        """Refuse."""
        _refuse()

    def private_bytes(self, *_: object, **__: object) -> Never:
        """Refuse."""
        _refuse()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def make(place: Place, pin: bytes, *, label: str) -> Made:
    """Make a P-256 key in a token, sensitive and not extractable.

    Raises:
        TokenError: the token is gone, refuses the PIN, or cannot make one.
    """
    token = token_at(place)
    identifier = secrets.token_bytes(_ID)
    with said_plainly():
        session = session_of(token, place, pin, writing=True)
        parameters = session.create_domain_parameters(
            pkcs11.KeyType.EC,
            {
                pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1"),
            },
            local=True,
        )
        public, _ = parameters.generate_keypair(
            id=identifier,
            label=label,
            store=True,
            capabilities=pkcs11.MechanismFlag.SIGN | pkcs11.MechanismFlag.VERIFY,
            private_template={
                pkcs11.Attribute.SENSITIVE: True,
                pkcs11.Attribute.EXTRACTABLE: False,
            },
        )
        spki = serialization.load_der_public_key(encode_ec_public_key(public))
    serial = serial_of(token)
    found = Place(place.module, place.label, serial)
    if not isinstance(spki, ec.EllipticCurvePublicKey):
        raise TokenError("the token made no key on an elliptic curve")
    return Made(open_key(found, pin, identifier, spki), serial, identifier)


def open_key(
    place: Place, pin: bytes, identifier: bytes, public: ec.EllipticCurvePublicKey
) -> TokenKey:
    """Return the key, after it signed a challenge that `public` verifies.

    Raises:
        TokenError: the subclass says why it cannot be used.
    """
    with said_plainly():
        session = session_of(token_at(place), place, pin, writing=False)
        found = list(
            session.get_objects(
                {
                    pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY,
                    pkcs11.Attribute.KEY_TYPE: pkcs11.KeyType.EC,
                    pkcs11.Attribute.ID: identifier,
                }
            )
        )
        if len(found) != 1:
            raise NoTokenKeyError(
                f"the token {place.label!r} holds {len(found)} keys with the "
                f"identifier {identifier.hex()}, one is needed"
            )
        (private,) = found
        if (
            private[pkcs11.Attribute.EXTRACTABLE]
            or not private[pkcs11.Attribute.SENSITIVE]
        ):
            raise ExtractableKeyError("the token would give the key away")
    key = TokenKey(private, public)
    key.sign(b"certbound: which key is this? " + os.urandom(32), _ALGORITHM)
    return key


_ALGORITHM = ec.ECDSA(hashes.SHA256())


def _refuse() -> Never:
    raise TokenError("a key in a token signs, and does nothing else")
