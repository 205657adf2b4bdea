"""Tests of `services.proof.dpop_client`: proofs that open, and a key that stays."""

import copy
import json
import pickle
from base64 import urlsafe_b64decode
from typing import Any

import pytest

from services.proof.dpop import DpopProof, verify_proof
from services.proof.dpop_client import DpopKey
from services.proof.nonce import NonceIssuer
from tests.services.proofs import METHOD, URI
from tests.services.tokens import NOW

NONCES = NonceIssuer(bytes(range(32)), "resource")


def part(text: str, number: int) -> dict[str, Any]:
    """Return the header (0) or the claims (1) of a proof."""
    encoded = text.split(".")[number]
    read: dict[str, Any] = json.loads(urlsafe_b64decode(encoded + "=="))
    return read


def verified(text: str, **expected: Any) -> DpopProof:
    """Verify a proof as a server does that wants nothing but the `expected`."""
    wanted = {"access_token": None, "nonces": None, **expected}
    return verify_proof(text, method=METHOD, uri=URI, now=NOW, **wanted)


def test_a_proof_opens() -> None:
    """What the client makes is what the server takes, under the client's thumbprint."""
    key = DpopKey()
    proof = verified(key.proof(METHOD, URI, now=NOW))
    assert (proof.thumbprint, proof.issued_at) == (key.thumbprint, NOW)


def test_a_proof_names_the_token_and_the_nonce() -> None:
    """Token and nonce go into the proof where they are given."""
    nonce = NONCES.issue(NOW)
    text = DpopKey().proof(METHOD, URI, now=NOW, access_token="token", nonce=nonce)
    assert verified(text, access_token="token", nonces=NONCES).nonce == nonce


def test_a_proof_holds_nothing_else() -> None:
    """Without token and nonce there are the four claims of RFC 9449, section 4.2."""
    claims = part(DpopKey().proof(METHOD, URI, now=NOW), 1)
    assert claims.keys() == {"jti", "htm", "htu", "iat"}


def test_query_and_fragment_are_left_out() -> None:
    """`htu` is the URI without them (section 4.2)."""
    for uri in (URI + "?a=#b", URI + "#b?a", URI + "?", URI + "#"):
        assert part(DpopKey().proof(METHOD, uri, now=NOW), 1)["htu"] == URI


def test_every_proof_has_its_own_id() -> None:
    """128 random bits, 22 characters, never the same (section 4.2)."""
    key = DpopKey()
    ids = {part(key.proof(METHOD, URI, now=NOW), 1)["jti"] for _ in range(20)}
    assert len(ids) == 20
    assert {len(one) for one in ids} == {22}


def test_the_header_shows_the_public_key_alone() -> None:
    """No private member leaves the process in a proof (section 4.2)."""
    header = part(DpopKey().proof(METHOD, URI, now=NOW), 0)
    assert header.keys() == {"typ", "alg", "jwk"}
    assert header["jwk"].keys() == {"kty", "crv", "x", "y"}


def test_every_key_is_another() -> None:
    """Two processes never share a key."""
    assert DpopKey().thumbprint != DpopKey().thumbprint


def test_a_key_is_not_copied_or_stored() -> None:
    """Neither copying nor pickling gets the key out."""
    key = DpopKey()
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="does not leave"):
            attempt(key)


def test_a_key_is_not_printed() -> None:
    """Its text shows the thumbprint, which is public, and nothing more."""
    key = DpopKey()
    assert repr(key) == f"DpopKey(thumbprint={key.thumbprint!r})"
