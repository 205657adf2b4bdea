"""Tests of `services.token.signing_keys`: one key, made here, kept here."""

import json
import os
import stat
import sys
from pathlib import Path
from subprocess import PIPE, Popen
from typing import TypeAlias

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from services.proof.jws import parse, verify
from services.proof.key_set import read_key_set
from services.token.signing_keys import SigningKeyError, load_or_make
from tests.services.tokens import claims

Private: TypeAlias = (
    ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
)
PLAIN = NoEncryption()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state directory that does not exist yet."""
    return tmp_path / "token-service" / "state"


def key_file(state: Path) -> Path:
    """Return the one file in the state directory."""
    (path,) = state.iterdir()
    return path


def pem(key: Private, encryption: KeySerializationEncryption = PLAIN) -> bytes:
    """Return a private key in PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def p256() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def refuses(state: Path, content: bytes, reason: str) -> None:
    """Check that a file with this content is refused, without being quoted."""
    load_or_make(state)
    key_file(state).write_bytes(content)
    with pytest.raises(SigningKeyError, match=reason) as refusal:
        load_or_make(state)
    assert "BEGIN" not in str(refusal.value)
    assert key_file(state).read_bytes() == content


def test_the_first_caller_makes_the_key(state: Path) -> None:
    """It is made with its directory, and only its owner may read either."""
    load_or_make(state)
    path = key_file(state)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert path.stat().st_nlink == 1


def test_the_mode_does_not_hang_on_the_umask(state: Path) -> None:
    """A careless process umask makes no key that others can read."""
    before = os.umask(0)
    try:
        load_or_make(state)
    finally:
        os.umask(before)
    assert stat.S_IMODE(key_file(state).stat().st_mode) == 0o600


def test_the_key_stays(state: Path) -> None:
    """A restart finds the key it had, so that tokens out there stay good."""
    assert load_or_make(state).key_id == load_or_make(state).key_id


def test_two_that_start_together_agree(state: Path) -> None:
    """Whoever is first makes the key; nobody replaces it."""
    program = (
        "import pathlib, sys; from services.token.signing_keys import load_or_make;"
        "print(load_or_make(pathlib.Path(sys.argv[1])).key_id)"
    )
    command = [sys.executable, "-c", program, str(state)]
    both = [Popen(command, stdout=PIPE, text=True) for _ in range(2)]
    ids = {process.communicate(timeout=60)[0].strip() for process in both}
    assert ids == {load_or_make(state).key_id}
    assert key_file(state).name == "signing-key.pem"


def test_what_it_signs_verifies_with_what_it_publishes(state: Path) -> None:
    """The published half proves a signature of the private one."""
    key = load_or_make(state)
    published = read_key_set(json.dumps({"keys": [key.public_jwk()]}).encode())
    token = parse(key.sign(claims(), kind="at+jwt"))
    assert token.unverified_header == {
        "alg": "ES256",
        "typ": "at+jwt",
        "kid": key.key_id,
    }
    opened = verify(token, published[token.key_id], types=frozenset({"at+jwt"}))
    assert opened == claims()


def test_only_the_public_half_is_published(state: Path) -> None:
    """The JWKS holds the members of a public key and no other (RFC 7517)."""
    member = load_or_make(state).public_jwk()
    assert set(member) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert (member["use"], member["alg"]) == ("sig", "ES256")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_key_that_others_can_reach_is_refused(state: Path, mode: int) -> None:
    """A key that somebody else may have read signs nothing any more."""
    load_or_make(state)
    key_file(state).chmod(mode)
    with pytest.raises(SigningKeyError, match="can be read by others"):
        load_or_make(state)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "no key", id="empty"),
        pytest.param(b"not a key", "no key", id="prose"),
        pytest.param(pem(p256())[:100], "no key", id="cut"),
        pytest.param(
            pem(p256(), BestAvailableEncryption(b"x")), "no key", id="encrypted"
        ),
        pytest.param(pem(ed25519.Ed25519PrivateKey.generate()), "no key", id="ed25519"),
        pytest.param(pem(rsa.generate_private_key(65537, 2048)), "no key", id="rsa"),
        pytest.param(
            pem(ec.generate_private_key(ec.SECP384R1())),
            "not a private P-256 key",
            id="p384",
        ),
        pytest.param(
            p256()
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            "not a private P-256 key",
            id="public",
        ),
    ],
)
def test_a_file_without_a_p256_key_is_refused(
    state: Path, content: bytes, reason: str
) -> None:
    """Whatever else stands there is refused, and not replaced by a new key."""
    refuses(state, content, reason)


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A state that is a file is refused by name."""
    state = tmp_path / "state"
    state.write_text("")
    with pytest.raises(SigningKeyError, match="state"):
        load_or_make(state)
