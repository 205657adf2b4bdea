"""Tests of `services.token.assertion`: what a client signs about itself."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ServiceError
from services.registration.methods import Jwks, PrivateKeyJwt
from services.token.assertion import (
    LONGEST_LIFE,
    Assertion,
    read_assertion,
    verify_assertion,
)
from services.token.assertion_errors import (
    AssertionAlgorithmError,
    AssertionAudienceError,
    AssertionClaimError,
    AssertionKeyError,
    AssertionKindError,
    AssertionRefusedError,
    AssertionSignatureError,
    AssertionSubjectError,
    ExpiredAssertionError,
    FutureAssertionError,
    LongAssertionError,
    MalformedAssertionError,
)
from services.token.client_keys import Keys
from tests.services.documents import ISSUER
from tests.services.proofs import EdProver, Prover, Proving, RsaProver
from tests.services.registered import (
    CLIENT_ID,
    assertion,
    assertion_claims,
    assertion_header,
)
from tests.services.tokens import ABSENT, NOW, compact

PROVERS: dict[str, Proving] = {
    prover.algorithm: prover for prover in (Prover(), EdProver(), RsaProver())
}
EC = PROVERS["ES256"]
NOW_S = int(NOW.timestamp())
LONGEST_S = int(LONGEST_LIFE.total_seconds())


def keys_of(*members: dict[str, Any]) -> Keys:
    """Return registered keys."""
    return PrivateKeyJwt(jwks=Jwks(keys=members)).registered()


def jwk(prover: Proving, **members: Any) -> dict[str, Any]:
    """Return the registration of a key."""
    good = {**prover.public(), "kid": "one", **members}
    return {name: value for name, value in good.items() if value is not ABSENT}


REGISTERED = keys_of(jwk(EC))


def verify(text: str, keys: Keys = REGISTERED) -> Assertion:
    """Read and verify an assertion of the client, at `NOW`."""
    return verify_assertion(
        read_assertion(text), keys, client_id=CLIENT_ID, issuer=ISSUER, now=NOW
    )


def refuses(error: type[AssertionRefusedError], text: str) -> None:
    """Check that an assertion is refused for this reason and no other."""
    with pytest.raises(AssertionRefusedError) as refusal:
        verify(text)
    assert type(refusal.value) is error


def signed(**header: Any) -> str:
    """Return a good assertion but for its header."""
    return EC.sign(assertion_header(EC, **header), assertion_claims())


@pytest.mark.parametrize("name", PROVERS)
def test_a_good_assertion_is_verified(name: str) -> None:
    """Each algorithm of FAPI 2.0, section 5.4.1, is taken with its kind of key."""
    found = verify(assertion(PROVERS[name]), keys_of(jwk(PROVERS[name])))
    assert found.token_id == assertion_claims()["jti"]
    assert (found.expires_at - NOW).total_seconds() == 60


def test_it_says_whose_it_is_before_it_is_checked() -> None:
    """The subject leads to the keys, and is not believed before they fit."""
    assert read_assertion(assertion(EC, sub="x")).unverified_subject == "x"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a.b",
        "a.b.c",
        "a.b.c.d.e",
        compact({"alg": "ES256"}, b"[]", b"x"),
        compact({"alg": "ES256"}, b'{"sub":"a","sub":"b"}', b"x"),
        compact({"alg": "ES256"}, b'{"sub":NaN}', b"x"),
        compact({"alg": "ES256"}, b"\xff", b"x"),
        compact({"alg": "ES256", "crit": ["exp"]}, b'{"sub":"a"}', b"x"),
        compact({"alg": "ES256", "kid": 1}, b'{"sub":"a"}', b"x"),
        assertion(EC) + " ",
        assertion(EC, x="x" * 8192),
        json.dumps({"payload": "", "signatures": []}),
    ],
    ids=lambda text: text[:12],
)
def test_what_is_no_jws_is_refused(text: str) -> None:
    """Compact form, strict JSON, nothing critical (RFC 8725; RFC 7515, 4.1.11)."""
    refuses(MalformedAssertionError, text)


@pytest.mark.parametrize(
    "algorithm",
    ["none", "HS256", "RS256", "PS384", "EdDSA", "es256", "", 1, None, ["ES256"]],
    ids=repr,
)
def test_other_algorithms_are_refused(algorithm: object) -> None:
    """The list is ours and has no `none`, nothing symmetric, no RS256 (FAPI 2.0)."""
    header = assertion_header(EC, alg=algorithm)
    refuses(AssertionAlgorithmError, compact(header, assertion_claims(), b"x" * 64))


def test_an_algorithm_is_needed() -> None:
    """Without one there is no JWS (RFC 7515, section 4.1.1)."""
    header = assertion_header(EC, alg=ABSENT)
    refuses(MalformedAssertionError, compact(header, assertion_claims(), b"x" * 64))


@pytest.mark.parametrize("kind", [ABSENT, "JWT", "client-authentication+jwt"])
def test_a_type_is_taken_where_it_is_the_right_one(kind: object) -> None:
    """Most libraries write `JWT`, some nothing (RFC 8725, section 3.11: SHOULD)."""
    verify(signed(typ=kind))


@pytest.mark.parametrize("kind", ["at+jwt", "dpop+jwt", "", "jwt "], ids=repr)
def test_a_jwt_of_another_kind_is_refused(kind: str) -> None:
    """An access token, or a DPoP proof, by the same key authenticates nobody."""
    refuses(AssertionKindError, signed(typ=kind))


@pytest.mark.parametrize("key_id", ["two", "", "../one", "one "], ids=repr)
def test_an_unknown_key_id_is_refused(key_id: str) -> None:
    """A key id chooses among the client's keys and is nothing else (8725, 3.10)."""
    refuses(AssertionKeyError, signed(kid=key_id))


def test_no_key_id_means_any_key() -> None:
    """A client with one key need not name it."""
    verify(signed(kid=ABSENT))
    verify(signed(kid="any"), keys_of(jwk(EC, kid=ABSENT)))


def test_a_key_of_another_kind_is_not_tried() -> None:
    """The algorithm belongs to the kind of key (RFC 8725, section 3.1)."""
    with pytest.raises(AssertionKeyError):
        verify(assertion(EC), keys_of(jwk(PROVERS["PS256"]), jwk(PROVERS["Ed25519"])))


def test_keys_of_one_id_are_told_apart() -> None:
    """By their kind, and then by which has signed (FAPI 2.0, section 5.4.3)."""
    keys = keys_of(jwk(PROVERS["PS256"]), jwk(Prover()), jwk(EC))
    verify(assertion(EC), keys)
    verify(assertion(PROVERS["PS256"]), keys)


def test_another_clients_signature_is_refused() -> None:
    """Only the client's own keys count, whatever the header brings along."""
    other = Prover()
    refuses(AssertionSignatureError, assertion(other))
    header = assertion_header(
        other, jwk=other.public(), jku="https://a.example", x5u="https://a.example"
    )
    refuses(AssertionSignatureError, other.sign(header, assertion_claims()))


def test_a_changed_payload_is_refused() -> None:
    """The signature is over every byte."""
    head, _, signature = assertion(EC).split(".")
    payload = compact({}, assertion_claims(jti="other"), b"x").split(".")[1]
    refuses(AssertionSignatureError, f"{head}.{payload}.{signature}")


@pytest.mark.parametrize(
    "changes",
    [{"iss": "other"}, {"sub": "other"}, {"iss": "other", "sub": "other"}],
    ids=repr,
)
def test_issuer_and_subject_are_the_client(changes: dict[str, Any]) -> None:
    """A client speaks for itself, and nobody speaks for it (RFC 7523, section 3)."""
    refuses(AssertionSubjectError, assertion(EC, **changes))


@pytest.mark.parametrize(
    "audience",
    [
        [ISSUER],
        [ISSUER, "https://other.example"],
        f"{ISSUER}/token",
        f"{ISSUER}/",
        ISSUER.upper(),
        "https://other.example",
        "",
        ABSENT,
        None,
        {ISSUER: 1},
    ],
    ids=repr,
)
def test_the_audience_is_the_issuer_as_a_text(audience: object) -> None:
    """An array, or the endpoint, could be meant for others, too (FAPI 2.0)."""
    refuses(AssertionAudienceError, assertion(EC, aud=audience))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"exp": NOW_S}, ExpiredAssertionError),
        ({"exp": NOW_S - 1}, ExpiredAssertionError),
        ({"iat": NOW_S + 11}, FutureAssertionError),
        ({"nbf": NOW_S + 11}, FutureAssertionError),
        ({"iat": NOW_S + 61}, FutureAssertionError),
        ({"nbf": NOW_S + 61}, FutureAssertionError),
        ({"exp": NOW_S + LONGEST_S + 11}, LongAssertionError),
        ({"iat": NOW_S - LONGEST_S - 11}, ExpiredAssertionError),
    ],
    ids=repr,
)
def test_what_is_out_of_time_is_refused(
    changes: dict[str, Any], error: type[AssertionRefusedError]
) -> None:
    """Its time is now, and short."""
    refuses(error, assertion(EC, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"iat": NOW_S + 10},
        {"nbf": NOW_S + 10},
        {"iat": ABSENT, "nbf": ABSENT},
        {"exp": NOW_S + 1},
        {"exp": NOW_S + LONGEST_S},
        {"iat": NOW_S + 0.5},
    ],
    ids=repr,
)
def test_a_clock_may_be_ten_seconds_ahead(changes: dict[str, Any]) -> None:
    """FAPI 2.0, section 5.3.2.1: 10 s are accepted, more than 60 s are not."""
    verify(assertion(EC, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": ABSENT},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 1e300},
        {"iat": "now"},
        {"nbf": None},
        {"jti": ABSENT},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 257},
        {"jti": "two words"},
        {"iss": ABSENT},
        {"iss": [CLIENT_ID]},
        {"sub": ABSENT},
    ],
    ids=repr,
)
def test_each_claim_is_needed_and_of_its_type(changes: dict[str, Any]) -> None:
    """What is missing or misshapen is refused as that."""
    refuses(AssertionClaimError, assertion(EC, **changes))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda b: b.decode("latin-1")))
def test_any_text_is_refused_in_our_words(text: str) -> None:
    """No text raises anything but our own error."""
    with pytest.raises(ServiceError):
        verify(text)


@given(
    st.dictionaries(st.sampled_from([*assertion_claims(), "x"]), JSON, max_size=4),
    st.dictionaries(
        st.sampled_from(["typ", "kid", "jku", "x5c", "cty", "crit", "b64"]),
        JSON,
        max_size=3,
    ),
)
def test_any_signed_claims_are_read_or_refused_in_our_words(
    claims: dict[str, Any], header: dict[str, Any]
) -> None:
    """An acceptance is one that a slow and simple check would give as well."""
    members = assertion_claims(**claims)
    text = EC.sign(assertion_header(EC, **header), members)
    try:
        verify(text)
    except ServiceError:
        return
    assert members["iss"] == members["sub"] == CLIENT_ID
    assert members["aud"] == ISSUER
    assert NOW_S < members["exp"] <= NOW_S + LONGEST_S + 10
    assert all(members[name] <= NOW_S + 10 for name in ("iat", "nbf"))
    assert str(header.get("typ", "JWT")).lower().endswith("jwt")
