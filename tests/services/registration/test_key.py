"""Tests of `services.registration.key`: a key, and a certificate that is no CA's."""

from base64 import b64encode
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from services.jwk import JwkError, SecretJwkError
from services.registration.key import certified_key, signature_key
from tests.services.profiles import key_usage
from tests.services.proofs import EdProver, Prover, RsaProver
from tests.services.registered import Owner, x5c
from tests.services.tokens import ABSENT

OWNER = Owner()


def refuses(reason: str, **changes: Any) -> None:
    """Check that a good key is refused for one change."""
    with pytest.raises(JwkError, match=reason):
        certified_key(OWNER.jwk(**changes))


@pytest.mark.parametrize("prover", [Prover(), EdProver(), RsaProver()])
def test_each_kind_of_key_is_read(prover: Any) -> None:
    """The kind of a key says which algorithm it is used with."""
    key = signature_key({**prover.public(), "kid": "one"})
    assert (key.algorithm, key.key_id) == (prover.algorithm, "one")


def test_a_certificate_comes_with_its_key() -> None:
    """The first of x5c is the certificate, whatever follows."""
    other = Owner("other")
    chain = [x5c(OWNER.certificate), x5c(other.certificate)]
    assert certified_key(OWNER.jwk(x5c=chain)).certificate == OWNER.certificate


@pytest.mark.parametrize("member", ["d", "k", "p", "priv"])
def test_a_private_key_is_refused(member: str) -> None:
    """What can sign belongs to the client alone."""
    with pytest.raises(SecretJwkError):
        certified_key(OWNER.jwk(**{member: "AQAB"}))


@pytest.mark.parametrize(
    "changes",
    [{"use": "enc"}, {"crv": "P-384"}, {"kty": "oct"}, {"kty": ABSENT}, {"use": 1}],
    ids=repr,
)
def test_a_key_for_something_else_is_refused(changes: dict[str, Any]) -> None:
    """Only keys for signatures, of the kinds that are taken, know a client."""
    refuses("no key of P-256", **changes)


def test_a_key_id_is_a_text() -> None:
    """Anything else could not be compared with a header's."""
    refuses("kid", kid=1)


@pytest.mark.parametrize("value", [ABSENT, [], "MII", [1], None, {}], ids=repr)
def test_a_certificate_is_needed(value: object) -> None:
    """A key alone knows no certificate (RFC 8705, section 2.2)."""
    refuses("no certificate in x5c", x5c=value)


@pytest.mark.parametrize(
    "text",
    ["", "!", "AAAA", x5c(OWNER.certificate)[:-4], x5c(OWNER.certificate) + "\n"],
    ids=["empty", "alphabet", "other", "cut", "line"],
)
def test_what_is_no_certificate_is_refused(text: str) -> None:
    """x5c holds base64 of DER, in its one spelling (RFC 7517, section 4.7)."""
    refuses("x5c", x5c=[text])


def test_what_follows_a_certificate_is_refused() -> None:
    """A whole certificate has an end."""
    der = OWNER.certificate.public_bytes(Encoding.DER)
    refuses("x5c", x5c=[b64encode(der + b"\0").decode()])


def test_the_certificate_of_another_key_is_refused() -> None:
    """The key in x5c[0] must be the JWK's own (RFC 8705, section 2.2)."""
    refuses("of another key", x5c=[x5c(Owner().certificate)])


def test_a_certificate_without_constraints_is_read() -> None:
    """Most self-signed ones have neither extension, and can sign nothing."""
    owner = Owner(authority=None, signs=None)
    assert certified_key(owner.jwk()).certificate == owner.certificate


@pytest.mark.parametrize(
    "faults",
    [
        {"authority": True},
        {"authority": True, "signs": None},
        {"authority": True, "signs": True},
        {"authority": None, "signs": True},
        {"authority": False, "signs": True},
    ],
    ids=repr,
)
def test_what_could_act_as_a_ca_is_refused(faults: dict[str, Any]) -> None:
    """As a trust anchor it could sign anybody's name (measured: F1)."""
    with pytest.raises(JwkError, match=r"CA's certificate|may sign"):
        certified_key(Owner(**faults).jwk())


def test_a_certificate_that_signs_crls_is_refused() -> None:
    """Its key is meant to speak for a CA."""
    owner = Owner(signs=None)
    usage = key_usage(digital_signature=True, crl_sign=True)
    owner._extensions.append((usage, True))
    certificate = owner._signed(owner.subject, owner.key, owner._extensions, None)
    with pytest.raises(JwkError, match="may sign"):
        certified_key(owner.jwk(x5c=[x5c(certificate)]))


def test_a_certificate_of_somebody_else_is_refused() -> None:
    """Signed by another key, it would be no anchor, and its issuer would count."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = OWNER.sign("https://client.example", key)
    owner = Owner()
    owner.key = key
    with pytest.raises(JwkError, match="not self-signed"):
        certified_key(owner.jwk(x5c=[x5c(certificate)]))


def test_a_false_signature_is_refused() -> None:
    """Equal names make no self-signed certificate."""
    other = ec.generate_private_key(ec.SECP256R1())
    forged = (
        x509.CertificateBuilder()
        .subject_name(OWNER.subject)
        .issuer_name(OWNER.subject)
        .public_key(OWNER.key.public_key())
        .serial_number(7)
        .not_valid_before(OWNER.certificate.not_valid_before_utc)
        .not_valid_after(OWNER.certificate.not_valid_after_utc)
        .sign(other, SHA256())
    )
    refuses("not self-signed", x5c=[x5c(forged)])


def test_a_serial_number_of_zero_is_refused() -> None:
    """What the library reads with a warning, until some release, is not read."""
    der = bytearray(Owner().certificate.public_bytes(Encoding.DER))
    at = der.index(b"\x02\x14") + 2  # a serial number of twenty bytes
    der[at : at + 20] = bytes(20)
    refuses("no certificate", x5c=[b64encode(bytes(der)).decode()])
