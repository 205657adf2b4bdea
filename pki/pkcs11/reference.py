"""A key file that holds no key: it says which key of which PKCS#11 token to use.

`keys` makes and reads it beside the sealed ones, and what it refers to is opened by
`key` beside it, loaded only then: a host without a token needs no library for one.

What this does not prove: that the file was not changed. It is the CA's own, as the
ledger is; the key it leads to must be the one that was certified.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki.pkcs11.place import NoLibraryError, Place, TokenError

FORMAT = "certbound-token-key"
_VERSION = 1


class Reference(msgspec.Struct, forbid_unknown_fields=True):
    """What the file says."""

    format: str
    version: int
    purpose: str
    public_key: bytes  # SubjectPublicKeyInfo
    module: str
    label: str
    serial: str
    identifier: str  # CKA_ID, hex

    @property
    def place(self) -> Place:
        """The token."""
        return Place(Path(self.module), self.label, self.serial)


def make(
    place: Place, pin: bytes, *, purpose: str
) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """Return a new key in a token, and the file that refers to it.

    Raises:
        TokenError: the token cannot make one, or there is no library for it.
    """
    made: Any = _library().make(place, pin, label=f"certbound {purpose}")
    reference = Reference(
        format=FORMAT,
        version=_VERSION,
        purpose=purpose,
        public_key=made.key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
        module=str(place.module),
        label=place.label,
        serial=made.serial,
        identifier=made.identifier.hex(),
    )
    text = msgspec.json.format(msgspec.json.encode(reference), indent=2) + b"\n"
    return made.key, text


def read(text: bytes) -> Reference:
    """Return what a file says.

    Raises:
        TokenError: it is no such file, or one of a version not known here.
    """
    try:
        reference = msgspec.json.decode(text, type=Reference)
        bytes.fromhex(reference.identifier)
    except (msgspec.MsgspecError, ValueError) as error:
        raise TokenError(f"not a reference to a key in a token: {error}") from error
    if (reference.format, reference.version) != (FORMAT, _VERSION):
        raise TokenError(
            f"reference of version {reference.version}, only {_VERSION} is known"
        )
    return reference


def open_key(reference: Reference, pin: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the key that a file refers to.

    Raises:
        TokenError: the subclass says why it cannot be used.
    """
    try:
        public = serialization.load_der_public_key(reference.public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TokenError(f"unreadable public key: {error}") from error
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise TokenError("the key of the token is not on an elliptic curve")
    key: ec.EllipticCurvePrivateKey = _library().open_key(
        reference.place, pin, bytes.fromhex(reference.identifier), public
    )
    return key


def _library() -> ModuleType:
    try:
        from pki.pkcs11 import key  # noqa: PLC0415 - only who has a token needs it
    except ImportError as error:
        raise NoLibraryError(
            "a key in a token needs the extra: pip install 'certbound[pkcs11]'"
        ) from error
    return key
