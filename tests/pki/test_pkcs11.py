"""CA keys in a PKCS#11 token (SoftHSM): they sign there, and are had nowhere else."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pkcs11
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import ocsp

from pki import keys
from pki.envelope import WrongPurposeError
from pki.pkcs11 import key as token_key
from pki.pkcs11 import reference, session
from pki.pkcs11.place import NoLibraryError, Place, TokenError
from pki.pointers import authority_of
from pki.published import read_published
from pki.storage import write_atomically
from tests.pki.builders import ADDRESSES, Ca, csr, policy_document, serials
from tests.pki.command import Done, pki
from tests.pki.tokens import MODULE, PIN, SoftHsm

PINS = {"root": PIN, "issuing": PIN}
ORDERS = "orders@localhost"


@dataclass(frozen=True)
class InToken:
    """A CA whose two keys lie in a token, and the token's directory."""

    hsm: SoftHsm
    ca: Ca

    def init(self, **passphrases: bytes) -> Done:
        """Found it, or look that nothing lacks."""
        return pki(
            "init",
            *("--directory", self.ca.layout.directory, "--pkcs11-module", MODULE),
            *("--root-token", "ca", "--issuing-token", "ca"),
            document=policy_document(addresses=ADDRESSES),
            passphrases=passphrases,
        )

    def issue(self, pin: bytes = PIN) -> Done:
        """Ask for a certificate."""
        return pki(
            *("issue", "--directory", self.ca.layout.directory),
            document={"requests": [{"identity": ORDERS, "csr": csr()}]},
            passphrases={"issuing": pin},
        )


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    """Return SoftHSM with one token, which this process and its children see."""
    made = SoftHsm.at(tmp_path_factory.mktemp("softhsm"))
    made.make_token("ca")
    with made.used():
        yield made


@pytest.fixture(scope="module")
def in_token(hsm: SoftHsm, tmp_path_factory: pytest.TempPathFactory) -> InToken:
    """Return a CA that was founded with both keys in the token."""
    founded = InToken(hsm, Ca.at(tmp_path_factory.mktemp("in-token") / "ca"))
    assert founded.init(**PINS).answer["changed"]
    return founded


@pytest.fixture
def place(hsm: SoftHsm) -> Place:
    """Return the token, for this process."""
    return Place(MODULE, "ca")


def session_of(place: Place) -> Any:
    """Return a session in which a test may do what we would not."""
    keys.make("session", PIN, place=place)
    return session.session_of(session.token_at(place), place, PIN, writing=True)


def changed(text: bytes, **members: str) -> bytes:
    """Return a key's file with members changed."""
    return json.dumps(json.loads(text) | members).encode()


def test_ca_lives_in_a_token(in_token: InToken) -> None:
    """Founded, asked again, issuing, revoking, listing, answering: a process each."""
    ca, directory = in_token.ca, in_token.ca.layout.directory
    assert not in_token.init().answer["changed"]
    (issued,) = in_token.issue().answer["results"]
    leaf, issuing = x509.load_pem_x509_certificates(issued["certificate"].encode())
    leaf.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(ca.certificate("root"))
    revoked = pki(
        *("revoke", "--directory", directory, "--identity", ORDERS),
        *("--reason", "keyCompromise"),
        passphrases={"issuing": PIN},
    )
    assert revoked.answer["changed"]
    crl, key = ca.crl(), issuing.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert crl.is_signature_valid(key)
    assert serials(crl) == {leaf.serial_number}
    with read_published(ca.layout.ledger) as published:
        stored = published.answer(
            issuing.subject.rfc4514_string(), f"{leaf.serial_number:x}", "sha256"
        )
    assert stored
    answer = ocsp.load_der_ocsp_response(stored.der)
    assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
    (responder,) = answer.certificates
    responder.verify_directly_issued_by(issuing)
    assert pki("ledger", "verify", "--directory", directory).answer


def test_directory_holds_no_key_of_the_ca(in_token: InToken) -> None:
    """Only the OCSP responder's key lies there; the CA's files say where theirs are."""
    ca = in_token.ca
    responder = ca.layout.responder(authority_of(ca.certificate("issuing")))
    for path in ca.layout.directory.iterdir():
        content = path.read_bytes()
        assert b"ciphertext" not in content, path
        assert (b"PRIVATE KEY" in content) == (path == responder), path
    stated = json.loads(ca.layout.sealed_key("issuing").read_bytes())
    assert set(stated) == {
        *("format", "version", "purpose", "public_key"),
        *("module", "label", "serial", "identifier"),
    }


def test_wrong_pin_is_refused(in_token: InToken) -> None:
    """Another PIN signs nothing, and how many tries are left is not told."""
    refusal = in_token.issue(b"another pin").refusal
    assert refusal == {"error": "wrong_pin", "message": "the token refuses the PIN"}


def test_locked_token_is_said() -> None:
    """That no PIN helps any more is told. SoftHSM never locks: its answer is made."""
    error = session.explained(pkcs11.PinLocked())
    assert isinstance(error, session.LockedTokenError)
    assert error.code == "token_locked"


def test_token_that_is_gone_signs_nothing(
    in_token: InToken, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its token the CA refuses, though its directory is whole."""
    elsewhere = SoftHsm.at(tmp_path / "empty")
    monkeypatch.setenv("SOFTHSM2_CONF", str(elsewhere.configuration))
    refusal = in_token.issue().refusal
    assert refusal["error"] == "token_gone"
    assert "0 tokens are labelled 'ca' with the serial" in refusal["message"]


def test_key_signs_and_is_not_given_away(place: Place) -> None:
    """It says of itself that it is sensitive, and every way to its bytes is refused."""
    key, _ = keys.make("issuing", PIN, place=place)
    assert isinstance(key, token_key.TokenKey)
    private = key._private
    assert private[pkcs11.Attribute.ALWAYS_SENSITIVE]
    assert private[pkcs11.Attribute.NEVER_EXTRACTABLE]
    assert private[pkcs11.Attribute.LOCAL]
    with pytest.raises(pkcs11.AttributeSensitive):
        private[pkcs11.Attribute.VALUE]
    for read in (key.private_bytes, key.private_numbers, key.exchange):
        with pytest.raises(TokenError, match="nothing else"):
            read()


def test_key_opens_again(place: Place) -> None:
    """The file leads to the same key, for the purpose it was made for."""
    key, file = keys.make("issuing", PIN, place=place)
    opened = keys.unseal(file, PIN, purpose="issuing")
    assert opened.public_key() == key.public_key()
    assert opened.public_key() == keys.public_key(file, purpose="issuing")
    with pytest.raises(WrongPurposeError):
        keys.unseal(file, PIN, purpose="root")


def test_next_key_is_made_in_the_same_token(place: Place) -> None:
    """What follows a key in a token is not laid on the disk unawares."""
    _, before = keys.make("issuing", PIN, place=place)
    _, after = keys.make("issuing", PIN, like=before)
    assert keys.is_reference(after)
    assert reference.read(after).place == reference.read(before).place
    assert reference.read(after).identifier != reference.read(before).identifier


def test_another_public_key_is_refused(place: Place) -> None:
    """A file that says another public key opens nothing: the token must prove it."""
    _, file = keys.make("issuing", PIN, place=place)
    _, other = keys.make("issuing", PIN, place=place)
    forged = changed(file, public_key=json.loads(other)["public_key"])
    with pytest.raises(token_key.ForeignTokenKeyError):
        keys.unseal(forged, PIN, purpose="issuing")


def test_missing_key_is_refused(place: Place) -> None:
    """A key that was deleted in the token is missed."""
    key, file = keys.make("issuing", PIN, place=place)
    assert isinstance(key, token_key.TokenKey)
    identifier = bytes.fromhex(reference.read(file).identifier)
    for found in session_of(place).get_objects({pkcs11.Attribute.ID: identifier}):
        found.destroy()
    with pytest.raises(token_key.NoTokenKeyError, match="holds 0 keys"):
        keys.unseal(file, PIN, purpose="issuing")


def test_key_that_can_be_extracted_is_refused(place: Place) -> None:
    """A key that the token would give away is none to trust."""
    _, file = keys.make("issuing", PIN, place=place)
    parameters = session_of(place).create_domain_parameters(
        pkcs11.KeyType.EC,
        {
            pkcs11.Attribute.EC_PARAMS: (
                pkcs11.util.ec.encode_named_curve_parameters("secp256r1")
            )
        },
        local=True,
    )
    parameters.generate_keypair(
        id=b"extractable",
        store=True,
        private_template={pkcs11.Attribute.EXTRACTABLE: True},
    )
    forged = changed(file, identifier=b"extractable".hex())
    with pytest.raises(token_key.ExtractableKeyError):
        keys.unseal(forged, PIN, purpose="issuing")


def test_only_sha256_is_signed(place: Place) -> None:
    """The key does what the CA needs."""
    key, _ = keys.make("issuing", PIN, place=place)
    with pytest.raises(TokenError, match="SHA-256 alone"):
        key.sign(b"text", ec.ECDSA(hashes.SHA384()))


def test_two_tokens_of_one_label_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody guesses which was meant."""
    hsm = SoftHsm.at(tmp_path / "two")
    for _ in range(2):
        hsm.make_token("ca")
    monkeypatch.setenv("SOFTHSM2_CONF", str(hsm.configuration))
    refusal = InToken(hsm, Ca.at(tmp_path / "ca")).init(**PINS).refusal
    assert refusal["error"] == "token_gone"
    assert "2 tokens are labelled 'ca'" in refusal["message"]


def test_module_that_others_may_write_is_not_loaded(
    place: Place, tmp_path: Path
) -> None:
    """It runs inside the CA's process."""
    module = tmp_path / "module.so"
    write_atomically(module, MODULE.read_bytes())
    module.chmod(0o620)
    with pytest.raises(session.NoTokenError, match="others may write"):
        keys.make("issuing", PIN, place=replace(place, module=module))


def test_file_that_is_no_module_is_refused(place: Place, tmp_path: Path) -> None:
    """What cannot be loaded is said."""
    module = tmp_path / "module.so"
    write_atomically(module, b"no library")
    with pytest.raises(session.NoTokenError, match="cannot be used"):
        keys.make("issuing", PIN, place=replace(place, module=module))


@pytest.mark.parametrize(
    "members", [{"version": 2}, {"identifier": "no hex"}, {"more": "than known"}]
)
def test_unknown_form_is_refused(place: Place, members: dict[str, Any]) -> None:
    """A version or member not known here is no file of ours."""
    _, file = keys.make("issuing", PIN, place=place)
    with pytest.raises(TokenError):
        keys.unseal(changed(file, **members), PIN, purpose="issuing")


def test_without_its_library_a_token_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is said by name."""
    _, file = keys.make("issuing", PIN, place=place)
    monkeypatch.delitem(sys.modules, "pki.pkcs11.key")
    monkeypatch.delattr("pki.pkcs11.key")
    monkeypatch.setitem(sys.modules, "pkcs11", None)
    with pytest.raises(NoLibraryError, match=r"certbound\[pkcs11\]"):
        keys.unseal(file, PIN, purpose="issuing")


def test_a_sealed_key_needs_no_library(
    loaded_by: Callable[[str], set[str]],
) -> None:
    """Hosts without a token need nothing for one."""
    assert "pki.pkcs11.key" not in loaded_by("pki.keys")
