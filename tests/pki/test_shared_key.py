"""A key that takes the passphrases of two people."""

import json
from base64 import b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from pki import envelope, keys, shared_key
from tests.pki.builders import CHEAP

FIRST, SECOND = b"passphrase of the first person", b"another of the second one"


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    """Return a key to seal."""
    return keys.make_key()


@pytest.fixture(scope="module")
def sealed(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return it sealed for two people, cheaply."""
    return shared_key.seal(key, FIRST, SECOND, purpose="root", cost=CHEAP)


def test_both_open_it(key: ec.EllipticCurvePrivateKey, sealed: bytes) -> None:
    """The two passphrases in their order give the key back."""
    opened = shared_key.unseal(sealed, FIRST, SECOND, purpose="root")
    assert opened.private_numbers() == key.private_numbers()
    assert shared_key.public_key(sealed, purpose="root") == key.public_key()


@pytest.mark.parametrize(
    ("first", "second", "whose"),
    [
        (b"a wrong passphrase here", SECOND, "first person"),
        (FIRST, b"a wrong passphrase here", "second person"),
        (FIRST, FIRST, "second person"),
        (SECOND, SECOND, "first person"),
        (SECOND, FIRST, "first person"),
    ],
)
def test_one_wrong_passphrase_is_enough(
    sealed: bytes, first: bytes, second: bytes, whose: str
) -> None:
    """Whose it was is said; one person's passphrase twice is not that of two."""
    with pytest.raises(envelope.WrongPassphraseError, match=whose):
        shared_key.unseal(sealed, first, second, purpose="root")


@pytest.mark.parametrize("alone", [FIRST, SECOND])
@pytest.mark.parametrize(
    "purpose", ["root", "root (first person)", "root (second person)"]
)
def test_nobody_opens_it_alone(sealed: bytes, alone: bytes, purpose: str) -> None:
    """Whatever one person calls the file, it gives no key to one passphrase."""
    with pytest.raises((envelope.SealedKeyError, ValueError)):
        keys.unseal(sealed, alone, purpose=purpose)


def test_the_first_finds_an_envelope_that_needs_the_second(sealed: bytes) -> None:
    """What the first comes to is sealed once more, at the same cost to a guess."""
    inner = envelope.unseal(sealed, FIRST, purpose="root (first person)")
    with pytest.raises(envelope.WrongPassphraseError):
        keys.unseal(inner, FIRST, purpose="root (second person)")
    assert json.loads(inner)["kdf"] | {"salt": ""} == (
        json.loads(sealed)["kdf"] | {"salt": ""}
    )


def test_same_passphrase_twice_seals_nothing(key: ec.EllipticCurvePrivateKey) -> None:
    """One person with one passphrase is not two."""
    with pytest.raises(shared_key.SamePassphraseError):
        shared_key.seal(key, FIRST, FIRST, purpose="root", cost=CHEAP)


@pytest.mark.parametrize(("first", "second"), [(b"short", SECOND), (FIRST, b"short")])
def test_each_passphrase_is_strong(
    key: ec.EllipticCurvePrivateKey, first: bytes, second: bytes
) -> None:
    """Neither may lean on the other."""
    with pytest.raises(envelope.WeakPassphraseError):
        shared_key.seal(key, first, second, purpose="root", cost=CHEAP)


def test_another_key_in_the_inner_envelope_is_refused(
    key: ec.EllipticCurvePrivateKey,
) -> None:
    """The two envelopes speak of one key."""
    other = keys.seal(
        keys.make_key(), SECOND, purpose="root (second person)", cost=CHEAP
    )
    forged = envelope.seal(
        other, FIRST, purpose="root (first person)", public=key.public_key(), cost=CHEAP
    )
    with pytest.raises(envelope.EnvelopeError, match="different public keys"):
        shared_key.unseal(forged, FIRST, SECOND, purpose="root")


def test_no_plain_key_is_in_the_file(
    key: ec.EllipticCurvePrivateKey, sealed: bytes
) -> None:
    """Neither as it is nor in the outer ciphertext."""
    number = key.private_numbers().private_value.to_bytes(32, "big")
    assert number not in b64decode(json.loads(sealed)["ciphertext"])
