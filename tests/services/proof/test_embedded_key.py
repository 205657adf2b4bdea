"""Tests of the key that a proof brings: public, one spelling, fit for its algorithm."""

from base64 import urlsafe_b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OKPKey

from services.errors import ServiceError
from services.proof.dpop_errors import (
    PrivateKeyError,
    ProofKeyError,
    WrongAlgorithmError,
)
from services.proof.embedded_key import PROOF_ALGORITHMS, embedded_key
from tests.services.proofs import EdProver, Prover, Proving, RsaProver
from tests.services.tokens import ABSENT, encode

PROVERS: dict[str, Proving] = {
    prover.algorithm: prover for prover in (Prover(), EdProver(), RsaProver())
}
EC, ED, RSA = PROVERS["ES256"], PROVERS["Ed25519"], PROVERS["PS256"]


def header(prover: Proving, **members: Any) -> dict[str, Any]:
    """Return a good header, but for changed `members` of its key."""
    jwk = {**prover.public(), **members}
    return prover.header(
        jwk={name: value for name, value in jwk.items() if value is not ABSENT}
    )


def test_the_algorithms_are_those_of_fapi() -> None:
    """ES256, Ed25519 and PS256 and no other are taken (FAPI 2.0, section 5.4.1)."""
    assert PROOF_ALGORITHMS == ("ES256", "Ed25519", "PS256")


@pytest.mark.parametrize("name", PROOF_ALGORITHMS)
def test_each_kind_of_key_is_read(name: str) -> None:
    """A good key comes out with its algorithm and its RFC 7638 thumbprint."""
    algorithm, key = embedded_key(PROVERS[name].header())
    assert (algorithm, key.thumbprint()) == (name, PROVERS[name].thumbprint)


@pytest.mark.parametrize(
    "algorithm",
    [
        *("none", "None", "HS256", "HS512", "RS256", "RS512", "PS384", "ES384"),
        *("ES256K", "EdDSA", "Ed448", "es256", "ES256 ", ""),
        *(None, 256, ["ES256"], {}),
    ],
    ids=repr,
)
def test_other_algorithms_are_refused(algorithm: object) -> None:
    """No `none`, nothing symmetric, no other spelling (RFC 9449, section 11.6)."""
    with pytest.raises(WrongAlgorithmError):
        embedded_key(EC.header(alg=algorithm))


@pytest.mark.parametrize("jwk", [ABSENT, None, "text", 7, [], ["jwk"]], ids=repr)
def test_a_header_without_a_key_is_refused(jwk: object) -> None:
    """The key stands in the header as an object, or there is none."""
    with pytest.raises(ProofKeyError, match="no jwk"):
        embedded_key(EC.header(jwk=jwk))


@pytest.mark.parametrize("name", ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"])
@pytest.mark.parametrize("value", ["AQAB", "", None], ids=repr)
def test_private_members_are_refused(name: str, value: object) -> None:
    """Whatever its kind and value: a private member has no place there (4.3, 7)."""
    with pytest.raises(PrivateKeyError):
        embedded_key(header(EC, **{name: value}))


def test_a_private_key_is_refused() -> None:
    """A whole private key, with which the proof could be genuine, is refused."""
    private = ECKey.generate_key("P-256").as_dict(private=True)
    with pytest.raises(PrivateKeyError):
        embedded_key(EC.header(jwk=private))


def test_a_symmetric_key_is_refused() -> None:
    """A shared secret in a header is none."""
    with pytest.raises(PrivateKeyError):
        embedded_key(EC.header(jwk={"kty": "oct", "k": "c2VjcmV0"}))


@pytest.mark.parametrize(
    ("algorithm", "owner"),
    [(a, b) for a in PROOF_ALGORITHMS for b in PROOF_ALGORITHMS if a != b],
)
def test_the_algorithm_belongs_to_the_kind_of_key(algorithm: str, owner: str) -> None:
    """A good key under another kind's algorithm is refused (RFC 8725, section 3.1)."""
    with pytest.raises(ProofKeyError, match="another kind"):
        embedded_key(PROVERS[owner].header(alg=algorithm))


@pytest.mark.parametrize(
    "jwk",
    [
        pytest.param(
            ECKey.generate_key("P-384").as_dict(private=False), id="another-curve"
        ),
        pytest.param({**EC.public(), "crv": "P-384"}, id="curve-claimed"),
        pytest.param({**EC.public(), "crv": ["P-256"]}, id="curve-list"),
        pytest.param({**EC.public(), "kty": "ec"}, id="kind-case"),
        pytest.param({**EC.public(), "use": "enc"}, id="for-encryption"),
        pytest.param({**EC.public(), "use": None}, id="use-null"),
        pytest.param({**EC.public(), "alg": "ES384"}, id="for-another-algorithm"),
        pytest.param({"kty": "EC"}, id="nothing-but-a-kind"),
        pytest.param({}, id="empty"),
    ],
)
def test_keys_of_other_kinds_are_refused(jwk: dict[str, Any]) -> None:
    """Kind, curve, use and algorithm of the key are ES256's, or it is not used."""
    with pytest.raises(ProofKeyError, match="another kind"):
        embedded_key(EC.header(jwk=jwk))


def test_a_key_for_agreement_signs_nothing() -> None:
    """X25519 looks like Ed25519 and is another curve (RFC 8725, section 3.4)."""
    agreement = OKPKey.generate_key("X25519").as_dict(private=False)
    with pytest.raises(ProofKeyError, match="another kind"):
        embedded_key(ED.header(jwk=agreement))


def test_what_else_a_key_says_is_ignored() -> None:
    """Names, certificates and links in the key are not looked at (RFC 7517, 4)."""
    said = {"kid": 7, "x5u": "https://thief", "x5c": "no list", "key_ops": "any"}
    _, key = embedded_key(header(EC, use="sig", alg="ES256", **said))
    assert key.thumbprint() == EC.thumbprint


def _shifted(text: str) -> str:
    """Return the base64url of the same number with an octet of zeros before it."""
    return encode(b"\0" + urlsafe_b64decode(text + "=="))


@pytest.mark.parametrize(
    ("owner", "changes"),
    [
        pytest.param("ES256", {"x": ABSENT}, id="half-a-point"),
        pytest.param("ES256", {"x": 7}, id="number"),
        pytest.param("ES256", {"y": None}, id="null"),
        pytest.param("ES256", {"x": ""}, id="empty"),
        pytest.param("ES256", {"x": "A" * 43}, id="off-the-curve"),
        pytest.param("ES256", {"x": "A" * 43, "y": "A" * 43}, id="infinity"),
        pytest.param("ES256", {"x": "_" * 42 + "8"}, id="beyond-the-field"),
        pytest.param("ES256", {"x": EC.public()["x"] + "="}, id="padded"),
        pytest.param("ES256", {"x": EC.public()["x"] + "\n"}, id="newline"),
        pytest.param("ES256", {"x": _shifted(EC.public()["x"])}, id="leading-zero"),
        pytest.param("ES256", {"x": "A" * 684}, id="too-long"),
        pytest.param("ES256", {"x": "\ud800"}, id="lone-surrogate"),
        pytest.param("Ed25519", {"x": "AA"}, id="ed-short"),
        pytest.param("Ed25519", {"x": _shifted(ED.public()["x"])}, id="ed-long"),
        pytest.param("Ed25519", {"x": "A"}, id="ed-lone-character"),
        pytest.param("PS256", {"n": ABSENT}, id="rsa-no-modulus"),
        pytest.param("PS256", {"n": _shifted(RSA.public()["n"])}, id="rsa-zero"),
        pytest.param("PS256", {"n": RSA.public()["n"][:-1]}, id="rsa-cut"),
        pytest.param("PS256", {"n": RSA.public()["n"][:341]}, id="rsa-odd-length"),
        pytest.param("PS256", {"n": encode(b"\x80" + bytes(255))}, id="rsa-even"),
        pytest.param("PS256", {"n": encode(b"\x7f" + b"\xff" * 255)}, id="2047-bits"),
        pytest.param("PS256", {"n": encode(b"\xff" * 128)}, id="1024-bits"),
        pytest.param("PS256", {"n": encode(b"\x01" + b"\xff" * 512)}, id="4097-bits"),
        pytest.param("PS256", {"e": "Aw"}, id="exponent-3"),
        pytest.param("PS256", {"e": "AAEAAQ"}, id="exponent-spelt-otherwise"),
        pytest.param("PS256", {"e": encode(b"\xff" * 64)}, id="costly-exponent"),
        pytest.param("PS256", {"n": "A"}, id="rsa-lone-character"),
    ],
)
def test_numbers_of_a_key_are_sound(owner: str, changes: dict[str, Any]) -> None:
    """A weak or false key, and a second spelling of a good one, are refused."""
    with pytest.raises(ProofKeyError):
        embedded_key(header(PROVERS[owner], **changes))


_JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=9)
_PARTS = sorted(
    {part for prover in PROVERS.values() for part in prover.public().values()}
)


@given(
    st.sampled_from(PROOF_ALGORITHMS),
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "use", "alg", "kid"]),
        _JSON | st.lists(_JSON, max_size=1) | st.sampled_from(_PARTS),
        min_size=1,
        max_size=4,
    ),
)
def test_any_key_is_refused_in_our_words(name: str, changes: dict[str, Any]) -> None:
    """Any members are refused by one of our errors, or are those of the key."""
    presented = header(PROVERS[name], **changes)
    try:
        _, key = embedded_key(presented)
    except ServiceError:
        return
    assert key.as_dict(private=False).items() <= presented["jwk"].items()
