"""Tests of `services.proof.jws.verify`: one algorithm, one kind, one reading."""

import hmac
import json
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from services.errors import ServiceError
from services.proof.errors import (
    MalformedTokenError,
    SignatureError,
    WrongTypeError,
)
from services.proof.jws import parse, verify
from tests.services.tokens import ABSENT, Signer, claims, compact, encode

SIGNER = Signer()
TYPES = frozenset({"at+jwt"})

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner)
    ),
    max_leaves=6,
)


def opened(text: str) -> dict[str, Any]:
    """Return the claims of a token, read and verified as the guard does it."""
    return verify(parse(text), SIGNER.key, types=TYPES)


def test_a_good_token_opens() -> None:
    """A token signed by the named key gives its claims, and only those."""
    assert opened(SIGNER.token()) == claims()


def test_the_named_key_can_be_looked_up() -> None:
    """Parsing tells the key id before anything is believed."""
    assert parse(SIGNER.token()).key_id == SIGNER.key_id


# The signature


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE"])
def test_an_unsigned_token_is_refused(algorithm: str) -> None:
    """`none` is no algorithm, in whatever case (RFC 8725, section 3.2)."""
    header = SIGNER.header(alg=algorithm)
    with pytest.raises(SignatureError):
        opened(compact(header, claims(), b"\x00"))


@pytest.mark.parametrize(
    "algorithm",
    [None, "", "es256", "ES384", "EdDSA", "RS256", "PS256", 256, ["ES256"], {}],
    ids=repr,
)
def test_no_algorithm_but_es256_is_taken(algorithm: object) -> None:
    """A token signed by the right key under another name of algorithm is refused."""
    with pytest.raises(SignatureError):
        opened(SIGNER.sign(SIGNER.header(alg=algorithm), claims()))


def test_a_header_names_its_algorithm() -> None:
    """A header without `alg` is none of a JWS (RFC 7515, section 4.1.1)."""
    with pytest.raises(MalformedTokenError):
        parse(SIGNER.sign(SIGNER.header(alg=ABSENT), claims()))


def test_the_public_key_is_no_shared_secret() -> None:
    """HS256 with the public key as secret is the oldest trick (RFC 8725, 2.1)."""
    header = SIGNER.header(alg="HS256")
    signed = f"{encode(header)}.{encode(claims())}".encode()
    tag = hmac.new(SIGNER.public_pem, signed, sha256).digest()
    with pytest.raises(SignatureError):
        opened(compact(header, claims(), tag))


def test_an_rsa_signature_is_refused() -> None:
    """A genuine RS256 signature, of whatever key, is none under our algorithm."""
    header = SIGNER.header(alg="RS256")
    signed = f"{encode(header)}.{encode(claims())}".encode()
    key = rsa.generate_private_key(65537, 2048)
    signature = key.sign(signed, padding.PKCS1v15(), SHA256())
    with pytest.raises(SignatureError):
        opened(compact(header, claims(), signature))


def test_another_key_of_the_same_id_is_refused() -> None:
    """A genuine ES256 signature of another key does not help by naming ours."""
    thief = Signer()
    with pytest.raises(SignatureError):
        opened(thief.sign(thief.header(kid=SIGNER.key_id), claims()))


def test_a_key_of_another_curve_is_refused() -> None:
    """The algorithm belongs to the kind of key, not to the token (RFC 8725, 3.1)."""
    other = ECKey.import_key(ECKey.generate_key("P-384").as_pem(private=False))
    with pytest.raises(SignatureError):
        verify(parse(SIGNER.token()), other, types=TYPES)


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param(b"\x00" * 64, id="zeros"),  # CVE-2022-21449
        pytest.param(b"\xff" * 64, id="beyond-the-order"),
        pytest.param(b"\x01" * 63, id="short"),
        pytest.param(b"\x01" * 65, id="long"),
        pytest.param(b"\x30\x06\x02\x01\x01\x02\x01\x01", id="der"),
    ],
)
def test_a_signature_has_its_form_and_range(signature: bytes) -> None:
    """A signature is two numbers of 32 octets, neither of them zero (RFC 7518, 3.4)."""
    with pytest.raises(SignatureError):
        opened(compact(SIGNER.header(), claims(), signature))


def test_a_changed_claim_breaks_the_signature() -> None:
    """One claim changed after signing is found."""
    header, _, signature = SIGNER.token().split(".")
    wider = encode(claims(scope="orders.read orders.write"))
    with pytest.raises(SignatureError):
        opened(f"{header}.{wider}.{signature}")


def test_a_changed_header_breaks_the_signature() -> None:
    """The header is signed, too."""
    _, payload, signature = SIGNER.token().split(".")
    header = encode(SIGNER.header(typ="AT+JWT"))
    with pytest.raises(SignatureError):
        opened(f"{header}.{payload}.{signature}")


# The kind


@pytest.mark.parametrize(
    "kind", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"]
)
def test_the_kind_has_four_spellings(kind: str) -> None:
    """Media types have no case and may leave out `application/` (RFC 7515, 4.1.9)."""
    assert opened(SIGNER.sign(SIGNER.header(typ=kind), claims())) == claims()


@pytest.mark.parametrize(
    "kind",
    [
        ABSENT,
        None,
        "",
        "JWT",
        "dpop+jwt",
        "token-introspection+jwt",
        "secevent+jwt",
        "at+jwt ",
        "text/at+jwt",
        "application/application/at+jwt",
        ["at+jwt"],
        7,
    ],
    ids=repr,
)
def test_another_kind_of_jwt_is_no_access_token(kind: object) -> None:
    """What the token service signed for another purpose opens nothing (8725, 3.11)."""
    with pytest.raises((WrongTypeError, SignatureError)) as refusal:
        opened(SIGNER.sign(SIGNER.header(typ=kind), claims()))
    if isinstance(kind, str) or kind is ABSENT:
        assert refusal.type is WrongTypeError


# The payload


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"not json", id="no-json"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"7", id="number"),
        pytest.param(b'{"sub":"\xff"}', id="no-utf8"),
        pytest.param(b'\xef\xbb\xbf{"sub":"a"}', id="byte-order-mark"),
        pytest.param(b'{"sub":"a","sub":"b"}', id="claim-twice"),
        pytest.param(b'{"cnf":{"x5t#S256":"a","x5t#S256":"b"}}', id="inner-twice"),
        pytest.param(b'{"exp":NaN}', id="nan"),
        pytest.param(b'{"exp":Infinity}', id="infinity"),
        pytest.param(b'{"exp":' + b"9" * 5000 + b"}", id="digits"),
        pytest.param(b"[" * 5800, id="deep-array"),
        pytest.param(b'{"a":' * 1100, id="deep-object"),
    ],
)
def test_the_payload_is_one_strict_object(payload: bytes) -> None:
    """Claims that two parsers could read differently are refused, though signed."""
    token = parse(SIGNER.sign(SIGNER.header(), payload))
    with pytest.raises(MalformedTokenError):
        verify(token, SIGNER.key, types=TYPES)


# Anything


@given(st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "jwk"]), Json))
def test_any_signed_header_is_refused_in_our_words(header: dict[str, Any]) -> None:
    """Whatever stands in a header, only the right one opens."""
    with pytest.raises(ServiceError):
        opened(SIGNER.sign(header, claims()))


@given(st.binary(max_size=200))
def test_any_signed_payload_is_refused_in_our_words(payload: bytes) -> None:
    """Whatever bytes are signed, what is no JSON object is refused."""
    try:
        found = opened(SIGNER.sign(SIGNER.header(), payload))
    except ServiceError:
        return
    assert json.loads(payload) == found
