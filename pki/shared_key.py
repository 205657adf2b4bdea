"""A key that takes two people: sealed under the passphrases of both, one in the other.

The envelope of the first holds the envelope of the second, which holds the key. Whoever
has one passphrase alone has nothing: the first opens an envelope, the second cannot
come to its own. Nothing is shared out or put together again.

What this does not prove: that two people came. Two passphrases did.
"""

import hmac

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki import envelope, keys
from pki.envelope import RECOMMENDED, Cost, SealedKeyError


class SamePassphraseError(SealedKeyError):
    """Both people gave the same passphrase."""

    code = "same_passphrase"


def seal(
    key: ec.EllipticCurvePrivateKey,
    first: bytes,
    second: bytes,
    *,
    purpose: str,
    cost: Cost = RECOMMENDED,
) -> bytes:
    """Return the file of `key`, which takes the passphrases `first` and `second`.

    Raises:
        SamePassphraseError: they are one.
        WeakPassphraseError: one of them is too short or too uniform.
    """
    if hmac.compare_digest(first, second):
        raise SamePassphraseError("the two people gave the same passphrase")
    inner = keys.seal(key, second, purpose=_of_second(purpose), cost=cost)
    return envelope.seal(
        inner, first, purpose=_of_first(purpose), public=key.public_key(), cost=cost
    )


def unseal(
    sealed: bytes, first: bytes, second: bytes, *, purpose: str
) -> ec.EllipticCurvePrivateKey:
    """Return the key that `seal` put into the file `sealed`.

    Raises:
        EnvelopeError, WrongPurposeError: it is no such file, or for something else.
        WrongPassphraseError: whose, says the message.
    """
    inner = envelope.unseal(sealed, first, purpose=_of_first(purpose))
    key = keys.unseal(inner, second, purpose=_of_second(purpose))
    if _spki(key.public_key()) != envelope.read(sealed, _of_first(purpose)).public_key:
        raise envelope.EnvelopeError("the two envelopes say different public keys")
    return key


def public_key(sealed: bytes, *, purpose: str) -> ec.EllipticCurvePublicKey:
    """Return the public half, which is readable without a passphrase.

    Raises:
        EnvelopeError, WrongPurposeError: as `unseal`.
    """
    return keys.public_key(sealed, purpose=_of_first(purpose))


def _of_first(purpose: str) -> str:
    return f"{purpose} (first person)"


def _of_second(purpose: str) -> str:
    return f"{purpose} (second person)"


def _spki(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
