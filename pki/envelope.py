"""An envelope: bytes sealed under a passphrase, for one purpose.

A JSON document: the bytes under AES-256-GCM (NIST SP 800-38D), its key from Argon2id
(RFC 9106). Everything else in it - version, purpose, public key, cost - is
authenticated with them, so a root key cannot be passed off as an issuing key, nor its
cost lowered, unnoticed. `keys` puts one key into one envelope, `shared_key` an
envelope into another.
"""

import os
from dataclasses import dataclass
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from pki.canonical import canonical_json
from pki.errors import PkiError

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


class Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """What the document says."""

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


def seal(
    plain: bytes,
    passphrase: bytes,
    *,
    purpose: str,
    public: PublicKeyTypes,
    cost: Cost = RECOMMENDED,
) -> bytes:
    """Return the envelope that holds `plain`, which leads to the key of `public`.

    Raises:
        WeakPassphraseError: `passphrase` is too short or too uniform.
    """
    _check_passphrase(passphrase)
    envelope = Envelope(
        format=_FORMAT,
        version=_VERSION,
        purpose=purpose,
        public_key=_spki(public),
        kdf=_Kdf(os.urandom(_SALT), cost.memory_kib, cost.iterations, cost.lanes),
        cipher=_Cipher(os.urandom(_NONCE)),
        ciphertext=b"",
    )
    cipher = AESGCM(_stretch(passphrase, envelope.kdf))
    envelope.ciphertext = cipher.encrypt(
        envelope.cipher.nonce, plain, envelope.header()
    )
    return msgspec.json.format(msgspec.json.encode(envelope), indent=2) + b"\n"


def unseal(sealed: bytes, passphrase: bytes, *, purpose: str) -> bytes:
    """Return what `seal` put into the envelope `sealed` for `purpose`.

    Raises:
        EnvelopeError: not an envelope, or of an unknown version.
        WrongPurposeError: sealed for another purpose.
        WrongPassphraseError: another passphrase, or any byte was changed.
    """
    envelope = read(sealed, purpose)
    cipher = AESGCM(_stretch(passphrase, envelope.kdf))
    try:
        return cipher.decrypt(
            envelope.cipher.nonce, envelope.ciphertext, envelope.header()
        )
    except InvalidTag as error:
        raise WrongPassphraseError(
            f"wrong passphrase for the {purpose} key, or its file was changed"
        ) from error


def read(sealed: bytes, purpose: str) -> Envelope:
    """Return what an envelope says beside what it holds: not authenticated yet.

    Raises:
        EnvelopeError: not an envelope, or of an unknown version.
        WrongPurposeError: sealed for another purpose.
    """
    try:
        envelope = msgspec.json.decode(sealed, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EnvelopeError(f"not a sealed key: {error}") from error
    if (envelope.format, envelope.version) != (_FORMAT, _VERSION):
        raise EnvelopeError(
            f"sealed key of format {envelope.format!r} version {envelope.version}, "
            f"only {_FORMAT!r} version {_VERSION} is known"
        )
    check_purpose(envelope.purpose, purpose)
    return envelope


def check_purpose(stated: str, wanted: str) -> None:
    """Return if a key was made for the purpose `wanted`.

    Raises:
        WrongPurposeError: it was made for another.
    """
    if stated != wanted:
        raise WrongPurposeError(
            f"the file holds the {stated!r} key, {wanted!r} is needed"
        )


def _check_passphrase(passphrase: bytes) -> None:
    if len(passphrase) < _SHORTEST:
        raise WeakPassphraseError(f"passphrase shorter than {_SHORTEST} characters")
    if len(set(passphrase)) < _FEWEST_DIFFERENT:
        raise WeakPassphraseError(
            f"passphrase has fewer than {_FEWEST_DIFFERENT} different characters"
        )


def _stretch(passphrase: bytes, kdf: _Kdf) -> bytes:
    cost = Cost(memory_kib=kdf.memory_kib, iterations=kdf.iterations, lanes=kdf.lanes)
    return Argon2id(
        salt=kdf.salt,
        length=_KEY,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    ).derive(passphrase)


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
