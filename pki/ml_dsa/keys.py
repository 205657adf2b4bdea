"""Keys of the parallel CA: ML-DSA (FIPS 204), sealed as every key of the CA is.

A sealed one is the PKCS#8 form in an `envelope`: the 32 bytes that the key is made of
(RFC 9881, section 6, the seed alone). The root is of the highest category of the
standard, because it lives for years; the issuing CA of the middle one, because each
statement carries its signature.
"""

from hashlib import sha256

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import mldsa

from pki import envelope
from pki.ml_dsa.statement import ISSUING, ROOT

PrivateKey = mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey
PublicKey = mldsa.MLDSA65PublicKey | mldsa.MLDSA87PublicKey

_KINDS: dict[str, type[PrivateKey]] = {
    ROOT: mldsa.MLDSA87PrivateKey,
    ISSUING: mldsa.MLDSA65PrivateKey,
}


def make(
    purpose: str, passphrase: bytes, *, cost: envelope.Cost = envelope.RECOMMENDED
) -> tuple[PrivateKey, bytes]:
    """Return a new key for `ROOT` or `ISSUING`, and the envelope that holds it.

    Raises:
        WeakPassphraseError: `passphrase` is too short or too uniform.
    """
    key = _KINDS[purpose].generate()
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key()
    sealed = envelope.seal(plain, passphrase, purpose=purpose, public=public, cost=cost)
    return key, sealed


def unseal(sealed: bytes, passphrase: bytes, *, purpose: str) -> PrivateKey:
    """Return the key that `make` sealed for `purpose`.

    Raises:
        EnvelopeError: not an envelope, of an unknown version, or another kind of key.
        WrongPurposeError: sealed for another purpose.
        WrongPassphraseError: another passphrase, or any byte was changed.
    """
    plain = envelope.unseal(sealed, passphrase, purpose=purpose)
    key = serialization.load_der_private_key(plain, password=None)
    if not isinstance(key, _KINDS[purpose]):
        raise envelope.EnvelopeError(f"the sealed key is no {purpose} key")
    return key


def spki_sha256(key: PublicKey) -> str:
    """Return the SHA-256 of a key's SubjectPublicKeyInfo in lower-case hex."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(der).hexdigest()
