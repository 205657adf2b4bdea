"""The CA's private keys: made, sealed under a passphrase, opened again.

A sealed key is a JSON envelope: PKCS#8 under AES-256-GCM (NIST SP 800-38D), its key
from Argon2id (RFC 9106). Everything else in the envelope - version, purpose, public
key, cost - is authenticated with it, so a root key cannot be passed off as an issuing
key, nor its cost lowered, unnoticed. The library's own PKCS#8 encryption is not used:
it stretches a passphrase with 2,048 rounds of PBKDF2, half a millisecond of work.

`founding` makes and seals; `authority` opens. Services never load this file: their
keys are made where they are used.

What this does not prove: that memory is clean afterwards. Python copies at will, so
an opened key stays readable to whoever may read this process's memory.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from pki.canonical import canonical_json
from pki.errors import PkiError
from pki.storage import check_private

_FORMAT = "certbound-sealed-key"
_VERSION = 1
_SALT = 16  # bytes (RFC 9106, section 3.1)
_NONCE = 12  # bytes (SP 800-38D, section 5.2.1.1)
_KEY = 32  # bytes: AES-256
_SHORTEST = 16  # characters; 16 of base64 hold 96 bits
_FEWEST_DIFFERENT = 8  # characters; catches a repeated letter or word, no more


class SealedKeyError(PkiError):
    """A key cannot be sealed or opened."""

    code = "key_refused"


class WeakPassphraseError(SealedKeyError):
    """The passphrase is too easy to guess to seal a CA key with it."""

    code = "weak_passphrase"


class WrongPassphraseError(SealedKeyError):
    """The passphrase does not open the envelope, or the envelope was changed.

    Which of the two it was cannot be known: that is what authentication means.
    """

    code = "wrong_passphrase"


class WrongPurposeError(SealedKeyError):
    """The envelope holds a key made for something else."""

    code = "wrong_purpose"


class EnvelopeError(SealedKeyError):
    """The file is no sealed key, or one of a version not known here."""

    code = "bad_envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The work that one guess at a passphrase takes."""

    memory_kib: int
    iterations: int
    lanes: int

    def __post_init__(self) -> None:
        # Upper bounds, so that a foreign file cannot make us take all memory.
        if not (
            8 * self.lanes <= self.memory_kib <= 2**21
            and 1 <= self.iterations <= 64  # noqa: PLR2004 - said above
            and 1 <= self.lanes <= 64  # noqa: PLR2004 - said above
        ):
            raise EnvelopeError(f"unreasonable Argon2id parameters: {self}")


# RFC 9106, section 4, second recommended option: 64 MiB, three passes, four lanes.
# The first one (2 GiB) would not fit beside the services of a small machine.
RECOMMENDED = Cost(memory_kib=64 * 1024, iterations=3, lanes=4)


class _Kdf(msgspec.Struct, forbid_unknown_fields=True):
    salt: bytes
    memory_kib: int
    iterations: int
    lanes: int
    name: Literal["argon2id"] = "argon2id"


class _Cipher(msgspec.Struct, forbid_unknown_fields=True):
    nonce: bytes
    name: Literal["aes-256-gcm"] = "aes-256-gcm"


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    version: int
    purpose: str
    public_key: bytes
    kdf: _Kdf
    cipher: _Cipher
    ciphertext: bytes

    def header(self) -> bytes:
        """Return what is authenticated beside the ciphertext."""
        shown: dict[str, object] = msgspec.to_builtins(self)
        del shown["ciphertext"]
        return canonical_json(shown)


def make_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def seal(
    key: ec.EllipticCurvePrivateKey,
    passphrase: bytes,
    *,
    purpose: str,
    cost: Cost = RECOMMENDED,
) -> bytes:
    """Return the envelope that holds `key` for `purpose`, such as `root`.

    Raises:
        WeakPassphraseError: `passphrase` is too short or too uniform.
    """
    _check_passphrase(passphrase)
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    envelope = _Envelope(
        format=_FORMAT,
        version=_VERSION,
        purpose=purpose,
        public_key=_spki(key.public_key()),
        kdf=_Kdf(os.urandom(_SALT), cost.memory_kib, cost.iterations, cost.lanes),
        cipher=_Cipher(os.urandom(_NONCE)),
        ciphertext=b"",
    )
    cipher = AESGCM(_stretch(passphrase, envelope.kdf))
    envelope.ciphertext = cipher.encrypt(
        envelope.cipher.nonce, plain, envelope.header()
    )
    return msgspec.json.format(msgspec.json.encode(envelope), indent=2) + b"\n"


def unseal(
    sealed: bytes, passphrase: bytes, *, purpose: str
) -> ec.EllipticCurvePrivateKey:
    """Return the key that `seal` put into the envelope `sealed` for `purpose`.

    Raises:
        EnvelopeError: not an envelope, of an unknown version, or not P-256.
        WrongPurposeError: sealed for another purpose.
        WrongPassphraseError: another passphrase, or any byte was changed.
    """
    envelope = _read(sealed, purpose)
    cipher = AESGCM(_stretch(passphrase, envelope.kdf))
    try:
        plain = cipher.decrypt(
            envelope.cipher.nonce, envelope.ciphertext, envelope.header()
        )
    except InvalidTag as error:
        raise WrongPassphraseError(
            f"wrong passphrase for the {purpose} key, or its file was changed"
        ) from error
    key = serialization.load_der_private_key(plain, password=None)
    return _p256_private(key)


def public_key(sealed: bytes, *, purpose: str) -> ec.EllipticCurvePublicKey:
    """Return the public half, which is readable without the passphrase.

    It is authenticated only once `unseal` succeeds.

    Raises:
        EnvelopeError: not an envelope, of an unknown version, or not P-256.
        WrongPurposeError: sealed for another purpose.
    """
    try:
        key = serialization.load_der_public_key(_read(sealed, purpose).public_key)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EnvelopeError(f"unreadable public key: {error}") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise EnvelopeError("the sealed key is not an elliptic curve key")
    return key


def read_sealed(path: Path) -> bytes:
    """Return the envelope at `path`.

    Raises:
        InsecurePermissionsError: other users may use the file.
    """
    check_private(path)
    return path.read_bytes()


def _check_passphrase(passphrase: bytes) -> None:
    if len(passphrase) < _SHORTEST:
        raise WeakPassphraseError(f"passphrase shorter than {_SHORTEST} characters")
    if len(set(passphrase)) < _FEWEST_DIFFERENT:
        raise WeakPassphraseError(
            f"passphrase has fewer than {_FEWEST_DIFFERENT} different characters"
        )


def _read(sealed: bytes, purpose: str) -> _Envelope:
    try:
        envelope = msgspec.json.decode(sealed, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EnvelopeError(f"not a sealed key: {error}") from error
    if (envelope.format, envelope.version) != (_FORMAT, _VERSION):
        raise EnvelopeError(
            f"sealed key of format {envelope.format!r} version {envelope.version}, "
            f"only {_FORMAT!r} version {_VERSION} is known"
        )
    if envelope.purpose != purpose:
        raise WrongPurposeError(
            f"the file holds the {envelope.purpose!r} key, {purpose!r} is needed"
        )
    return envelope


def _stretch(passphrase: bytes, kdf: _Kdf) -> bytes:
    cost = Cost(memory_kib=kdf.memory_kib, iterations=kdf.iterations, lanes=kdf.lanes)
    return Argon2id(
        salt=kdf.salt,
        length=_KEY,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    ).derive(passphrase)


def _p256_private(key: object) -> ec.EllipticCurvePrivateKey:
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(
        key.curve, ec.SECP256R1
    ):
        return key
    raise EnvelopeError("the sealed key is no P-256 key")


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
