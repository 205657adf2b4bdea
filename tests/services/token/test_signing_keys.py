"""Tests of `services.token.signing_keys`: keys that sign, and their public halves."""

import json
from typing import TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from services.proof.jws import parse, verify
from services.proof.key_set import read_key_set
from services.token.signing_keys import SigningKey, SigningKeyError, read_key
from tests.services.tokens import claims

Private: TypeAlias = (
    ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
)
PLAIN = NoEncryption()


def pem(key: Private, encryption: KeySerializationEncryption = PLAIN) -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def test_what_it_signs_verifies_with_what_it_publishes() -> None:
    """The published half proves a signature of the private one."""
    key = SigningKey.make()
    published = read_key_set(json.dumps({"keys": [key.public_jwk()]}).encode())
    token = parse(key.sign(claims(), kind="at+jwt"))
    assert token.unverified_header == {
        "alg": "ES256",
        "typ": "at+jwt",
        "kid": key.key_id,
    }
    opened = verify(token, published[token.key_id], types=frozenset({"at+jwt"}))
    assert opened == claims()


def test_only_the_public_half_is_published() -> None:
    """The JWKS holds the members of a public key and no other (RFC 7517)."""
    member = SigningKey.make().public_jwk()
    assert set(member) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (member["use"], member["alg"]) == ("sig", "ES256")


def test_a_private_key_is_read_back_whole() -> None:
    """It signs under the same key id."""
    key = SigningKey.make()
    read = read_key(key.private_pem())
    assert isinstance(read, SigningKey)
    assert read.key_id == key.key_id


def test_a_public_half_signs_nothing() -> None:
    """It keeps its key id, and is no `SigningKey` any more."""
    key = SigningKey.make()
    read = read_key(key.public_pem())
    assert not isinstance(read, SigningKey)
    assert read.public_jwk() == key.public_jwk()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "no key", id="empty"),
        pytest.param(b"not a key", "no key", id="prose"),
        pytest.param(SigningKey.make().private_pem()[:100], "no key", id="cut"),
        pytest.param(
            pem(ec.generate_private_key(ec.SECP256R1()), BestAvailableEncryption(b"x")),
            "no key",
            id="encrypted",
        ),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), "no key", id="ed25519"),
        pytest.param(pem(rsa.generate_private_key(65537, 2048)), "no key", id="rsa"),
        pytest.param(
            pem(ec.generate_private_key(ec.SECP384R1())), "not a P-256 key", id="p384"
        ),
    ],
)
def test_what_is_no_p256_key_is_refused(content: bytes, reason: str) -> None:
    """Whatever else it is, it is refused without being quoted."""
    with pytest.raises(SigningKeyError, match=reason) as refusal:
        read_key(content)
    assert "BEGIN" not in str(refusal.value)
