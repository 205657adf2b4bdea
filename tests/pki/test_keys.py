"""Keys sealed under a passphrase: what opens them, and what does not."""

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from pki import envelope, keys
from pki.storage import InsecurePermissionsError, write_atomically
from tests.pki.builders import CHEAP

PASSPHRASE = b"a passphrase of the tests"


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    """Return a key to seal."""
    return keys.make_key()


@pytest.fixture(scope="module")
def sealed(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the key sealed as a root's, cheaply."""
    return keys.seal(key, PASSPHRASE, purpose="root", cost=CHEAP)


def changed(sealed: bytes, *path: str, to: Any) -> bytes:
    """Return the envelope with the member at `path` changed."""
    whole = member = json.loads(sealed)
    for name in path[:-1]:
        member = member[name]
    member[path[-1]] = to
    return json.dumps(whole).encode()


def test_made_keys_are_on_p256(key: ec.EllipticCurvePrivateKey) -> None:
    """Every verifier we tried takes P-256."""
    assert isinstance(key.curve, ec.SECP256R1)


def test_sealed_key_opens(key: ec.EllipticCurvePrivateKey, sealed: bytes) -> None:
    """The right passphrase gives the same key back."""
    opened = keys.unseal(sealed, PASSPHRASE, purpose="root")
    assert opened.private_numbers() == key.private_numbers()


def test_envelope_does_not_show_the_key(
    key: ec.EllipticCurvePrivateKey, sealed: bytes
) -> None:
    """Neither the PKCS #8 form nor the number itself is in the file."""
    number = key.private_numbers().private_value
    plain = key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    assert plain not in sealed
    assert str(number).encode() not in sealed
    assert f"{number:x}".encode() not in sealed


def test_public_half_is_readable_without_passphrase(
    key: ec.EllipticCurvePrivateKey, sealed: bytes
) -> None:
    """A root can certify an issuing CA whose key stays closed."""
    assert keys.public_key(sealed, purpose="root") == key.public_key()


def test_production_cost_is_the_recommended_one(
    key: ec.EllipticCurvePrivateKey,
) -> None:
    """Unless a test says otherwise, RFC 9106's second recommended option is used."""
    kdf = json.loads(keys.seal(key, PASSPHRASE, purpose="root"))["kdf"]
    assert (kdf["memory_kib"], kdf["iterations"], kdf["lanes"]) == (65536, 3, 4)


def test_sealing_twice_differs(key: ec.EllipticCurvePrivateKey, sealed: bytes) -> None:
    """Salt and nonce are new each time."""
    again = json.loads(keys.seal(key, PASSPHRASE, purpose="root", cost=CHEAP))
    before = json.loads(sealed)
    assert again["kdf"]["salt"] != before["kdf"]["salt"]
    assert again["cipher"]["nonce"] != before["cipher"]["nonce"]


def test_wrong_passphrase_is_refused(sealed: bytes) -> None:
    """Another passphrase does not open the envelope, and the message says so."""
    with pytest.raises(envelope.WrongPassphraseError, match="wrong passphrase"):
        keys.unseal(sealed, PASSPHRASE + b"x", purpose="root")


def test_other_purpose_is_refused(sealed: bytes) -> None:
    """A root's key does not open as an issuing CA's."""
    with pytest.raises(envelope.WrongPurposeError, match="'root'"):
        keys.unseal(sealed, PASSPHRASE, purpose="issuing")


def test_relabelled_purpose_is_refused(sealed: bytes) -> None:
    """Writing another purpose into the file does not help: it is authenticated."""
    with pytest.raises(envelope.WrongPassphraseError):
        keys.unseal(
            changed(sealed, "purpose", to="issuing"), PASSPHRASE, purpose="issuing"
        )


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("ciphertext",), "AAAA" * 50),
        (("cipher", "nonce"), "A" * 16),
        (("kdf", "salt"), "A" * 22 + "=="),
        (("kdf", "iterations"), 2),
        (("kdf", "memory_kib"), 16),
    ],
)
def test_changed_envelope_is_refused(
    sealed: bytes, path: tuple[str, ...], to: object
) -> None:
    """Any member that was changed keeps the envelope closed."""
    with pytest.raises(envelope.WrongPassphraseError):
        keys.unseal(changed(sealed, *path, to=to), PASSPHRASE, purpose="root")


def test_swapped_public_key_is_refused(sealed: bytes) -> None:
    """The public half is authenticated with the rest."""
    other = json.loads(
        keys.seal(keys.make_key(), PASSPHRASE, purpose="root", cost=CHEAP)
    )["public_key"]
    with pytest.raises(envelope.WrongPassphraseError):
        keys.unseal(changed(sealed, "public_key", to=other), PASSPHRASE, purpose="root")


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("version",), 2),
        (("format",), "another"),
        (("kdf", "name"), "scrypt"),
        (("cipher", "name"), "aes-128-cbc"),
        (("more",), 1),
    ],
)
def test_unknown_form_is_refused(
    sealed: bytes, path: tuple[str, ...], to: object
) -> None:
    """A version, algorithm or member not known here is no envelope of ours."""
    with pytest.raises(envelope.EnvelopeError):
        keys.unseal(changed(sealed, *path, to=to), PASSPHRASE, purpose="root")


@pytest.mark.parametrize(
    ("name", "to"),
    [("memory_kib", 2**22), ("memory_kib", 1), ("iterations", 65), ("lanes", 0)],
)
def test_unreasonable_cost_is_refused(sealed: bytes, name: str, to: int) -> None:
    """A foreign file cannot make us take all memory."""
    with pytest.raises(envelope.EnvelopeError, match="unreasonable"):
        keys.unseal(changed(sealed, "kdf", name, to=to), PASSPHRASE, purpose="root")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[]"])
def test_other_files_are_refused(content: bytes) -> None:
    """What is no envelope says so."""
    with pytest.raises(envelope.EnvelopeError, match="not a sealed key"):
        keys.unseal(content, PASSPHRASE, purpose="root")


@pytest.mark.parametrize("public", ["", "AAAA"])
def test_unreadable_public_key_is_refused(sealed: bytes, public: str) -> None:
    """A public half that is none is refused without a passphrase."""
    with pytest.raises(envelope.EnvelopeError, match="unreadable public key"):
        keys.public_key(changed(sealed, "public_key", to=public), purpose="root")


def test_public_key_of_another_kind_is_refused(sealed: bytes) -> None:
    """Nothing is certified for a key that is not on an elliptic curve."""
    der = (
        ed25519.Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    other = changed(sealed, "public_key", to=b64encode(der).decode())
    with pytest.raises(envelope.EnvelopeError, match="not an elliptic curve"):
        keys.public_key(other, purpose="root")


@pytest.mark.parametrize("passphrase", [b"", b"fifteen letters", b"abcabcabcabcabcabc"])
def test_weak_passphrase_seals_nothing(
    key: ec.EllipticCurvePrivateKey, passphrase: bytes
) -> None:
    """Too short, or too few different characters."""
    with pytest.raises(envelope.WeakPassphraseError):
        keys.seal(key, passphrase, purpose="root", cost=CHEAP)


def test_key_on_another_curve_is_refused() -> None:
    """Only P-256 comes out of an envelope, whoever made it."""
    foreign = ec.generate_private_key(ec.SECP384R1())
    sealed = keys.seal(foreign, PASSPHRASE, purpose="root", cost=CHEAP)
    with pytest.raises(envelope.EnvelopeError, match="no P-256"):
        keys.unseal(sealed, PASSPHRASE, purpose="root")


def test_file_open_to_others_is_refused(tmp_path: Path, sealed: bytes) -> None:
    """A sealed key that group or world may read is not used."""
    path = tmp_path / "root.key.sealed"
    write_atomically(path, sealed)
    assert keys.read_sealed(path) == sealed
    path.chmod(0o640)
    with pytest.raises(InsecurePermissionsError, match="0640"):
        keys.read_sealed(path)
