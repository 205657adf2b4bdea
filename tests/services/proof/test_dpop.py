"""Tests of `services.proof.dpop`: the checks of RFC 9449, section 4.3, one by one."""

import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest

from services.errors import ServiceError
from services.proof.dpop import (
    MAX_AGE,
    SKEW,
    DpopProof,
    proof_header,
    token_hash,
    verify_proof,
)
from services.proof.dpop_errors import (
    ExpiredProofError,
    FutureProofError,
    InvalidProofError,
    MalformedProofError,
    ManyProofsError,
    MissingProofClaimError,
    NonceRequiredError,
    PrivateKeyError,
    ProofKeyError,
    ProofSignatureError,
    StaleNonceError,
    WrongAccessTokenError,
    WrongAlgorithmError,
    WrongMethodError,
    WrongProofTypeError,
    WrongUriError,
)
from services.proof.nonce import NonceIssuer
from services.proof.opened_proof import MOST, remembered
from tests.services.proofs import (
    METHOD,
    URI,
    EdProver,
    Prover,
    Proving,
    RsaProver,
    proof_claims,
)
from tests.services.tokens import ABSENT, NOW, compact, encode

PROVER = Prover()
PROVERS: list[Proving] = [PROVER, EdProver(), RsaProver()]
NONCES = NonceIssuer(bytes(range(32)), "token endpoint")
ISSUED = int(NOW.timestamp())
TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"  # RFC 9449, section 7.1


@pytest.fixture(autouse=True, params=["first", "later"])
def memory(request: pytest.FixtureRequest) -> None:
    """Let every test see the first proof of its makers, and one of many."""
    remembered.clear()
    if request.param == "later":
        for prover in PROVERS:
            verified(prover.proof())


def verified(text: str, **expected: Any) -> DpopProof:
    """Verify a proof as the token endpoint does, but for what else is `expected`."""
    request = {"method": METHOD, "uri": URI, "access_token": None, "nonces": None}
    return verify_proof(text, **{"now": NOW, **request, **expected})


@pytest.mark.parametrize("prover", PROVERS, ids=type)
def test_a_good_proof_says_what_was_signed(
    prover: Proving,
) -> None:
    """Key, id and times come out, for each algorithm."""
    assert verified(prover.proof()) == DpopProof(
        thumbprint=prover.thumbprint,
        token_id="-BwC3ESc6acc2lTc",
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=70),
        nonce=None,
    )


# The RFC's own proofs

_RFC_HEADER = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaH"
    "gtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRs"
    "Y3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
_RFC_TOKEN_REQUEST = (  # section 5, figures 4 to 6
    f"{_RFC_HEADER}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHB"
    "zOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-"
    "FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
_RFC_RESOURCE_REQUEST = (  # section 7.1, figures 12 to 14
    f"{_RFC_HEADER}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM"
    "6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiY"
    "XRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhr"
    "tNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)
_RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # section 6.1


def test_the_proof_of_a_token_request_of_the_rfc() -> None:
    """The first proof of RFC 9449 opens, under the thumbprint of section 6.1."""
    proof = verified(
        _RFC_TOKEN_REQUEST,
        uri="https://server.example.com/token",
        now=datetime.fromtimestamp(1562262616, UTC),
    )
    assert (proof.thumbprint, proof.token_id) == (_RFC_THUMBPRINT, "-BwC3ESc6acc2lTc")


def test_the_proof_of_a_resource_request_of_the_rfc() -> None:
    """The proof of section 7.1 opens for the access token of its example."""
    proof = verified(
        _RFC_RESOURCE_REQUEST,
        method="GET",
        uri="https://resource.example.org/protectedresource",
        now=datetime.fromtimestamp(1562262618, UTC),
        access_token=TOKEN,
    )
    assert (proof.thumbprint, proof.token_id) == (_RFC_THUMBPRINT, "e1j3V_bKic8-LAEB")


def test_the_hash_of_the_token_of_the_rfc() -> None:
    """`ath` of the example is what section 7.1 prints."""
    assert token_hash(TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


# 1. One header field


def test_the_proof_is_found_whatever_the_case_of_its_header() -> None:
    """Field names have no case."""
    for name in (b"dpop", b"DPoP", b"DPOP"):
        assert proof_header([(b"host", b"x"), (name, b"proof")]) == "proof"


def test_a_request_may_come_without_a_proof() -> None:
    """No header is none, and other headers with such names are others."""
    assert proof_header([(b"dpop-nonce", b"x"), (b"x-dpop", b"x")]) is None


@pytest.mark.parametrize("second", [b"DPoP", b"dpop"])
def test_two_headers_are_refused(second: bytes) -> None:
    """Two fields are refused, even where both hold the same proof."""
    with pytest.raises(ManyProofsError):
        proof_header([(b"dpop", b"proof"), (second, b"proof")])


def test_any_bytes_of_a_header_come_out_as_text() -> None:
    """Bytes that are no ASCII do not fail here and are no proof afterwards."""
    text = proof_header([(b"dpop", bytes(range(256)))])
    assert text is not None
    with pytest.raises(MalformedProofError):
        verified(text)


# 2. A well-formed JWT


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "Bearer " + text, id="prose"),
        pytest.param(lambda text: f"{text}, {text}", id="two-in-one"),
        pytest.param(lambda text: text.rpartition(".")[0], id="two-parts"),
        pytest.param(lambda text: text.rpartition(".")[0] + ".", id="unsigned"),
        pytest.param(lambda text: text + ".x", id="four-parts"),
        pytest.param(lambda text: text + "=", id="padded"),
        pytest.param(lambda text: text + " ", id="blank"),
        pytest.param(lambda text: "{" + text + "}", id="braces"),
        pytest.param(lambda text: text + "A" * 8192, id="long"),
    ],
)
def test_only_a_compact_jws_is_a_proof(spoil: Callable[[str], str]) -> None:
    """Any other text is refused as it stands."""
    with pytest.raises(MalformedProofError):
        verified(spoil(PROVER.proof()))


@pytest.mark.parametrize("extension", [{"crit": ["b64"]}, {"crit": []}, {"b64": True}])
def test_critical_extensions_are_refused(extension: dict[str, Any]) -> None:
    """None is understood (RFC 7515, section 4.1.11)."""
    with pytest.raises(MalformedProofError):
        verified(PROVER.sign(PROVER.header(**extension), proof_claims()))


def test_a_member_twice_in_the_header_is_refused() -> None:
    """Two readers could take two different keys from it."""
    header = b'{"alg":"none",' + _json(PROVER.header())[1:]
    with pytest.raises(MalformedProofError):
        verified(PROVER.sign(header, proof_claims()))


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b'{"htm":"GET",', id="cut"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"\xff", id="no-utf8"),
        pytest.param(b'{"jti":"a","jti":"b"}', id="claim-twice"),
        pytest.param(b'{"iat":NaN}', id="nan"),
        pytest.param(b"[" * 4000, id="deep"),
    ],
)
def test_claims_are_one_strict_object(payload: bytes) -> None:
    """Claims that could be read in two ways are refused, though signed."""
    with pytest.raises(MalformedProofError):
        verified(PROVER.sign(PROVER.header(), payload))


def test_unknown_members_of_the_header_are_ignored() -> None:
    """RFC 7515, section 4, demands it; links to keys among them are not followed."""
    header = PROVER.header(
        future={"a": 1}, kid="k", jku="https://thief.example", x5u="https://thief"
    )
    verified(PROVER.sign(header, proof_claims()))


# 3. All required claims


@pytest.mark.parametrize("value", [ABSENT, None, 7, True, ["x"], {}], ids=repr)
@pytest.mark.parametrize("name", ["jti", "htm", "htu"])
def test_each_required_text_is_demanded(name: str, value: object) -> None:
    """A proof without one of them, or with another type, is refused (section 4.2)."""
    with pytest.raises(MissingProofClaimError, match=f"^{name} "):
        verified(PROVER.proof(**{name: value}))


@pytest.mark.parametrize(
    "value",
    [ABSENT, None, True, str(ISSUED), [ISSUED], 10**400, -(10**30), 1e300],
    ids=["absent", "null", "true", "text", "list", "huge", "negative", "float"],
)
def test_the_time_of_making_is_a_date(value: object) -> None:
    """A proof says when it was made, in seconds that are a date."""
    with pytest.raises(MissingProofClaimError, match=r"^iat "):
        verified(PROVER.proof(iat=value))


@pytest.mark.parametrize(
    "token_id",
    ["", "x" * 257, "with blank", "line\nend", "é" * 16, "\ud800", "\0" * 16],
    ids=["empty", "long", "blank", "newline", "not-ascii", "surrogate", "nul"],
)
def test_an_id_is_short_and_visible(token_id: str) -> None:
    """What could fill the replay memory or stumble a log is refused (11.1)."""
    with pytest.raises(MissingProofClaimError, match=r"^jti "):
        verified(PROVER.proof(jti=token_id))


def test_the_longest_id_is_taken() -> None:
    """256 visible characters are enough for anybody's id, and are taken."""
    assert verified(PROVER.proof(jti="!~" * 128)).token_id == "!~" * 128


# 4. typ


@pytest.mark.parametrize("kind", [ABSENT, "", "JWT", "at+jwt", "dpop", "dpop+jwt "])
def test_another_kind_of_jwt_is_no_proof(kind: object) -> None:
    """What the same key signed for another purpose is refused (section 11.5)."""
    with pytest.raises(WrongProofTypeError):
        verified(PROVER.sign(PROVER.header(typ=kind), proof_claims()))


@pytest.mark.parametrize("kind", ["DPoP+JWT", "application/dpop+jwt"])
def test_the_kind_is_a_media_type(kind: str) -> None:
    """It has no case and may be written in full (RFC 7515, section 4.1.9)."""
    verified(PROVER.sign(PROVER.header(typ=kind), proof_claims()))


# 5. alg, 7. no private key, and the rest about the key: test_embedded_key.py


def test_an_unsigned_proof_is_refused() -> None:
    """`none` is no algorithm (section 11.6)."""
    header = PROVER.header(alg="none")
    with pytest.raises(WrongAlgorithmError):
        verified(compact(header, proof_claims(), b"\0"))


def test_a_proof_under_a_shared_secret_is_refused() -> None:
    """The public key taken for an HMAC secret is the oldest trick."""
    header = PROVER.header(alg="HS256")
    signed = f"{encode(header)}.{encode(proof_claims())}".encode()
    tag = hmac.new(PROVER.public()["x"].encode(), signed, sha256).digest()
    with pytest.raises(WrongAlgorithmError):
        verified(compact(header, proof_claims(), tag))


def test_a_proof_that_shows_its_private_key_is_refused() -> None:
    """Such a key is no secret any more, however good the signature (4.3, 7)."""
    header = PROVER.header(jwk={**PROVER.public(), "d": "c2VjcmV0"})
    with pytest.raises(PrivateKeyError):
        verified(PROVER.sign(header, proof_claims()))


def test_a_proof_without_a_key_is_refused() -> None:
    """A key named by its id alone is not looked for."""
    header = PROVER.header(jwk=ABSENT, kid=PROVER.thumbprint)
    with pytest.raises(ProofKeyError):
        verified(PROVER.sign(header, proof_claims()))


# 6. The signature


@pytest.mark.parametrize("prover", PROVERS, ids=type)
def test_a_signature_of_another_key_is_refused(
    prover: Proving,
) -> None:
    """The key in the header made the signature, or nobody did."""
    thief = type(prover)()
    with pytest.raises(ProofSignatureError):
        verified(thief.sign(prover.header(), proof_claims()))


@pytest.mark.parametrize(
    "signature",
    [b"\0" * 64, b"\xff" * 64, b"\1" * 63, b"\1" * 65, b"\x30\6\2\1\1\2\1\1"],
    ids=["zeros", "beyond-the-order", "short", "long", "der"],
)
def test_a_signature_has_its_form_and_range(signature: bytes) -> None:
    """A signature is two numbers of 32 octets in range (RFC 8725, section 3.4)."""
    with pytest.raises(ProofSignatureError):
        verified(compact(PROVER.header(), proof_claims(), signature))


def test_only_who_has_the_key_is_remembered() -> None:
    """A header costs memory when its key has signed under it, and not before."""
    remembered.clear()
    with pytest.raises(ProofSignatureError):
        verified(Prover().sign(PROVER.header(), proof_claims()))
    assert not remembered
    verified(PROVER.proof())
    assert [head.thumbprint for head in remembered.values()] == [PROVER.thumbprint]


def test_only_so_many_headers_are_remembered() -> None:
    """Nobody fills the memory with ever new keys."""
    verified(PROVER.proof())
    (known, *_) = remembered.values()
    remembered.update({str(number): known for number in range(MOST - 4)})
    for _ in range(4):
        verified(Prover().proof())
    assert len(remembered) < MOST


# 8. htm, 9. htu


@pytest.mark.parametrize("method", ["GET", "post", "Post", "POST ", "", "\ud800"])
def test_another_method_is_refused(method: str) -> None:
    """Methods are compared letter for letter (RFC 9110, section 9.1)."""
    with pytest.raises(WrongMethodError):
        verified(PROVER.proof(htm=method))


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param("https://orders.shop.internal/token", id="host"),
        pytest.param("https://token.shop.internal:8443/token", id="port"),
        pytest.param("http://token.shop.internal/token", id="scheme"),
        pytest.param(URI + "/", id="slash"),
        pytest.param("https://token.shop.internal", id="origin"),
        pytest.param("/token", id="path"),
        pytest.param("", id="empty"),
        pytest.param("https://thief@token.shop.internal/token", id="user"),
        pytest.param(URI + "\ud800", id="surrogate"),
    ],
)
def test_another_uri_is_refused(uri: str) -> None:
    """A proof for one place opens no other, and no text is mended to a URI."""
    with pytest.raises(WrongUriError):
        verified(PROVER.proof(htu=uri))


@pytest.mark.parametrize(
    "uri", ["HTTPS://Token.shop.internal:443/%74oken", URI + "?a=b#c"]
)
def test_another_spelling_of_the_uri_is_taken(uri: str) -> None:
    """Both sides are compared in normal form, without the query (section 4.3)."""
    verified(PROVER.proof(htu=uri))
    verified(PROVER.proof(), uri=uri)


def test_a_target_that_is_no_uri_is_refused() -> None:
    """A path of the request line that is none matches no proof, and does not fail."""
    with pytest.raises(WrongUriError):
        verified(PROVER.proof(), uri="https://token.shop.internal/%zz")


# 10. The nonce


def test_a_good_nonce_is_named() -> None:
    """The nonce that was checked comes out."""
    nonce = NONCES.issue(NOW)
    assert verified(PROVER.proof(nonce=nonce), nonces=NONCES).nonce == nonce


@pytest.mark.parametrize("nonce", [ABSENT, None, 7, ["x"], {}], ids=repr)
def test_a_nonce_is_demanded(nonce: object) -> None:
    """Where nonces are asked for there is no doing without (section 11.3)."""
    with pytest.raises(NonceRequiredError) as refusal:
        verified(PROVER.proof(nonce=nonce), nonces=NONCES)
    assert refusal.type is NonceRequiredError
    assert refusal.value.code == "use_dpop_nonce"


@pytest.mark.parametrize(
    "nonce", ["", "invented", NONCES.issue(NOW - timedelta(minutes=3)), "\ud800"]
)
def test_an_old_or_invented_nonce_is_refused(nonce: str) -> None:
    """The answer is the same, so that the client takes the next one (section 8)."""
    with pytest.raises(StaleNonceError) as refusal:
        verified(PROVER.proof(nonce=nonce), nonces=NONCES)
    assert refusal.value.code == "use_dpop_nonce"


def test_a_nonce_nobody_asked_for_is_ignored() -> None:
    """It was not checked, so it does not come out as checked."""
    assert verified(PROVER.proof(nonce="another server's")).nonce is None


# 11. The time


def test_the_window_of_a_proof() -> None:
    """A minute for the network, ten seconds for clocks (FAPI 2.0, 5.3.2.1)."""
    assert (timedelta(seconds=60), timedelta(seconds=10)) == (MAX_AGE, SKEW)


@pytest.mark.parametrize("age", [59, 59.5, 0, -10])
def test_a_proof_of_just_now_is_taken(age: float) -> None:
    """Within the window it is taken, with parts of a second too."""
    verified(PROVER.proof(iat=ISSUED - age))


@pytest.mark.parametrize("age", [60, 61, 3600, ISSUED, ISSUED + 62135596800])
def test_an_old_proof_is_refused(age: int) -> None:
    """At its end it is over, however far back (section 11.1)."""
    with pytest.raises(ExpiredProofError):
        verified(PROVER.proof(iat=ISSUED - age))


@pytest.mark.parametrize("ahead", [11, 61, 253402300799 - ISSUED])
def test_a_proof_of_the_future_is_refused(ahead: int) -> None:
    """Made ahead it would stay good for longer; up to the last date there is."""
    with pytest.raises(FutureProofError):
        verified(PROVER.proof(iat=ISSUED + ahead))


def test_a_good_nonce_does_not_make_an_old_proof_young() -> None:
    """Both are asked for."""
    with pytest.raises(ExpiredProofError):
        verified(PROVER.proof(iat=ISSUED - 61, nonce=NONCES.issue(NOW)), nonces=NONCES)


@pytest.mark.parametrize("age", [59, 0, -10])
def test_a_proof_is_remembered_until_it_is_too_old_everywhere(age: int) -> None:
    """Even a replica whose clock is late by the skew refuses it for its age then."""
    text = PROVER.proof(iat=ISSUED - age)
    with pytest.raises(ExpiredProofError):
        verified(text, now=verified(text).expires_at - SKEW)


# 12. The access token


def test_a_proof_for_this_token_is_taken() -> None:
    """`ath` is the token's hash."""
    verified(PROVER.proof(ath=token_hash(TOKEN)), access_token=TOKEN)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(ABSENT, id="absent"),
        pytest.param(None, id="null"),
        pytest.param("", id="empty"),
        pytest.param(token_hash("another"), id="another-token"),
        pytest.param(token_hash(TOKEN) + "=", id="padded"),
        pytest.param(sha256(TOKEN.encode()).hexdigest(), id="hex"),
        pytest.param([token_hash(TOKEN)], id="list"),
        pytest.param(TOKEN, id="the-token"),
    ],
)
def test_a_proof_for_no_or_another_token_is_refused(value: object) -> None:
    """A stolen token does not open with a proof that was made for another."""
    with pytest.raises(WrongAccessTokenError):
        verified(PROVER.proof(ath=value), access_token=TOKEN)


@pytest.mark.parametrize("token", ["", "é", "\ud800", "\0"], ids=repr)
def test_any_text_can_be_presented_as_a_token(token: str) -> None:
    """What is no token matches no proof for one, and does not fail."""
    with pytest.raises(WrongAccessTokenError):
        verified(PROVER.proof(ath=token_hash(TOKEN)), access_token=token)


def test_a_hash_without_a_token_is_ignored() -> None:
    """At the token endpoint the claim has no meaning."""
    verified(PROVER.proof(ath="anything"))


# The errors


def _refusals(root: type[ServiceError]) -> set[type[ServiceError]]:
    below = {leaf for child in root.__subclasses__() for leaf in _refusals(child)}
    return {root} | below


def test_every_refusal_has_a_code_of_the_rfc() -> None:
    """Two codes go out, and each refusal has its own words for the caller."""
    refusals = _refusals(InvalidProofError)
    assert {refusal.code for refusal in refusals} == {
        "invalid_dpop_proof",
        "use_dpop_nonce",
    }
    described = {vars(refusal)["description"] for refusal in refusals}
    assert len(described) == len(refusals)


def _json(members: dict[str, Any]) -> bytes:
    return json.dumps(members).encode()
