"""The CA's private keys: made, sealed under a passphrase, opened again.

A sealed key is its PKCS#8 form in an `envelope`. The library's own PKCS#8 encryption is
not used: it stretches a passphrase with 2,048 rounds of PBKDF2, half a millisecond.

A key may lie in a PKCS#11 token instead (`pkcs11`): its file then says where, and the
passphrase is the token's PIN. Whoever makes or opens a key here need not know which.

`founding` makes and seals; `authority` opens. Services never load this file: their
keys are made where they are used.

What this does not prove: that memory is clean afterwards. Python copies at will, so
an opened key stays readable to whoever may read this process's memory.
"""

from pathlib import Path

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki import envelope
from pki.pkcs11 import reference
from pki.pkcs11.place import Place
from pki.storage import check_private


class _Named(msgspec.Struct):
    format: str


def make_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def make(
    purpose: str,
    passphrase: bytes,
    *,
    place: Place | None = None,
    like: bytes | None = None,
    cost: envelope.Cost = envelope.RECOMMENDED,
) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """Return a new key and the content of its file.

    Args:
        purpose: what it is for, such as `root`.
        passphrase: what seals it, or the PIN of its token.
        place: the token to make it in; without one it is sealed.
        like: the file of an earlier key: the new one is made in the same token.
        cost: of a guess at the passphrase, if it is sealed.

    Raises:
        WeakPassphraseError: `passphrase` is too short or too uniform to seal with.
        TokenError: the token cannot make a key.
    """
    if place is None and like is not None and is_reference(like):
        place = reference.read(like).place
    if place is not None:
        return reference.make(place, passphrase, purpose=purpose)
    key = make_key()
    return key, seal(key, passphrase, purpose=purpose, cost=cost)


def seal(
    key: ec.EllipticCurvePrivateKey,
    passphrase: bytes,
    *,
    purpose: str,
    cost: envelope.Cost = envelope.RECOMMENDED,
) -> bytes:
    """Return the envelope that holds `key` for `purpose`, such as `root`.

    Raises:
        WeakPassphraseError: `passphrase` is too short or too uniform.
    """
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key()
    return envelope.seal(plain, passphrase, purpose=purpose, public=public, cost=cost)


def unseal(
    sealed: bytes, passphrase: bytes, *, purpose: str
) -> ec.EllipticCurvePrivateKey:
    """Return the key that the file `sealed` of `make` or `seal` holds for `purpose`.

    Raises:
        EnvelopeError: not an envelope, of an unknown version, or not P-256.
        WrongPurposeError: sealed for another purpose.
        WrongPassphraseError: another passphrase, or any byte was changed.
        TokenError: the key is in a token, and cannot be used.
    """
    if is_reference(sealed):
        referred = reference.read(sealed)
        envelope.check_purpose(referred.purpose, purpose)
        return reference.open_key(referred, passphrase)
    plain = envelope.unseal(sealed, passphrase, purpose=purpose)
    return _p256_private(serialization.load_der_private_key(plain, password=None))


def public_key(sealed: bytes, *, purpose: str) -> ec.EllipticCurvePublicKey:
    """Return the public half, which is readable without the passphrase.

    It is authenticated only once `unseal` succeeds.

    Raises:
        EnvelopeError: not an envelope, of an unknown version, or not P-256.
        WrongPurposeError: sealed for another purpose.
    """
    if is_reference(sealed):
        referred = reference.read(sealed)
        envelope.check_purpose(referred.purpose, purpose)
        spki = referred.public_key
    else:
        spki = envelope.read(sealed, purpose).public_key
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise envelope.EnvelopeError(f"unreadable public key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise envelope.EnvelopeError("the sealed key is not an elliptic curve key")
    return key


def is_reference(text: bytes) -> bool:
    """Return whether a key's file refers to a token, instead of holding the key."""
    try:
        return msgspec.json.decode(text, type=_Named).format == reference.FORMAT
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return False


def read_sealed(path: Path) -> bytes:
    """Return the envelope at `path`.

    Raises:
        InsecurePermissionsError: other users may use the file.
    """
    check_private(path)
    return path.read_bytes()


def _p256_private(key: object) -> ec.EllipticCurvePrivateKey:
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(
        key.curve, ec.SECP256R1
    ):
        return key
    raise envelope.EnvelopeError("the sealed key is no P-256 key")
