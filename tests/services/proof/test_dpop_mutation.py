"""Mutation of DPoP proofs: what is changed is refused, or is the same proof."""

import json
from base64 import urlsafe_b64decode
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.errors import ServiceError
from services.proof.dpop import DpopProof, token_hash, verify_proof
from services.proof.dpop_errors import InvalidProofError
from services.proof.nonce import NonceIssuer
from services.proof.target_uri import normal_uri
from tests.services.proofs import METHOD, URI, EdProver, Prover, Proving, RsaProver
from tests.services.proofs import proof_claims as claims
from tests.services.tokens import NOW, encode

TOKEN = "a.b.c"
NONCES = NonceIssuer(bytes(range(32)), "resource")
WHOLE = {"ath": token_hash(TOKEN), "nonce": NONCES.issue(NOW)}
PROVERS: tuple[Proving, ...] = (Prover(), EdProver(), RsaProver())
GOOD = [prover.proof(**WHOLE) for prover in PROVERS]
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256

ANY = st.text(alphabet=st.characters(codec=None), max_size=9)  # surrogates included
Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(ANY, inner, max_size=2),
    max_leaves=3,
)


def verified(text: str) -> DpopProof:
    """Verify a proof that has everything, as a resource service does."""
    return verify_proof(
        text, method=METHOD, uri=URI, now=NOW, access_token=TOKEN, nonces=NONCES
    )


EXPECTED = [verified(text) for text in GOOD]


@given(st.sampled_from(range(3)), st.data())
def test_a_changed_character_is_refused(which: int, data: st.DataObject) -> None:
    """One character of the text, changed, put in or taken out, spoils the proof."""
    text = GOOD[which]
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(
        st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_.=")
        | st.just("")
        | st.characters()
    )
    rest = data.draw(st.sampled_from([position, position + 1]))
    changed = text[:position] + character + text[rest:]
    assume(changed != text)
    with pytest.raises(InvalidProofError):
        verified(changed)


@given(st.sampled_from(range(3)), st.integers(0), st.integers(0, 7))
def test_a_changed_bit_is_refused(which: int, position: int, bit: int) -> None:
    """One bit of what is encoded, in any part, changed, spoils the proof."""
    parts = [urlsafe_b64decode(part + "==") for part in GOOD[which].split(".")]
    position %= sum(map(len, parts))
    for number, part in enumerate(parts):
        if position < len(part):
            changed = bytearray(part)
            changed[position] ^= 1 << bit
            parts[number] = bytes(changed)
            break
        position -= len(part)
    with pytest.raises(InvalidProofError):
        verified(".".join(map(encode, parts)))


def test_the_other_ecdsa_signature_is_the_same_proof() -> None:
    """(r, n - s) verifies as well, so replay goes by key and id, not by the text."""
    signed, _, signature = GOOD[0].rpartition(".")
    octets = urlsafe_b64decode(signature + "==")
    other = octets[:32] + (_ORDER - int.from_bytes(octets[32:])).to_bytes(32)
    assert verified(f"{signed}.{encode(other)}") == EXPECTED[0]


@given(
    st.dictionaries(
        st.sampled_from(["jti", "htm", "htu", "iat", "ath", "nonce"]) | ANY,
        Json,
        min_size=1,
        max_size=3,
    )
)
def test_any_signed_claims_are_refused_or_hold(changes: dict[str, Any]) -> None:
    """Whatever a holder signs: a proof that is taken says what was asked for."""
    payload = claims(**{**WHOLE, **changes})
    try:
        proof = verified(PROVERS[0].sign(PROVERS[0].header(), payload))
    except InvalidProofError:
        return
    assert payload["htm"] == METHOD
    assert normal_uri(payload["htu"]) == URI
    assert payload["ath"] == WHOLE["ath"]
    assert proof.nonce == payload["nonce"] == WHOLE["nonce"]
    assert proof.token_id == payload["jti"]
    assert -60 < payload["iat"] - NOW.timestamp() <= 10


@given(
    st.dictionaries(
        st.sampled_from(["typ", "alg", "jwk", "kid", "crit", "b64", "jku", "x5c"]),
        Json | st.sampled_from(["dpop+jwt", "ES256", "none", "PS256"]),
        min_size=1,
        max_size=3,
    )
)
def test_any_signed_header_is_refused_or_harmless(changes: dict[str, Any]) -> None:
    """Whatever stands in the header, the key that signed is the one that comes out."""
    header = PROVERS[0].header(**changes)
    try:
        proof = verified(PROVERS[0].sign(header, claims(**WHOLE)))
    except InvalidProofError:
        return
    assert proof == EXPECTED[0]


@given(ANY | st.lists(st.binary(max_size=30).map(encode), max_size=5).map(".".join))
def test_any_text_is_refused_in_our_words(text: str) -> None:
    """No text raises anything but our own errors, and none opens."""
    with pytest.raises(InvalidProofError):
        verified(text)


@given(st.binary(max_size=99), st.binary(max_size=99), st.binary(max_size=70))
def test_any_three_parts_are_refused_in_our_words(
    header: bytes, payload: bytes, signature: bytes
) -> None:
    """Nor do any bytes that are properly encoded."""
    with pytest.raises(InvalidProofError):
        verified(".".join(map(encode, (header, payload, signature))))


@given(st.binary(max_size=200))
def test_any_signed_payload_is_refused_in_our_words(payload: bytes) -> None:
    """Nor does any payload that is properly signed."""
    with pytest.raises(ServiceError) as refusal:
        verified(PROVERS[0].sign(PROVERS[0].header(), payload))
    assert isinstance(refusal.value, InvalidProofError)


def test_the_mutations_start_from_good_proofs() -> None:
    """What is mutated above opens as it is, so that refusals mean something."""
    for text, prover in zip(GOOD, PROVERS, strict=True):
        header = json.loads(urlsafe_b64decode(text.split(".")[0] + "=="))
        assert header["jwk"] == prover.public()
        assert verified(text).thumbprint == prover.thumbprint
