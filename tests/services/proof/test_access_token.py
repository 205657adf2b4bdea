"""Tests of `services.proof.access_token`: the claims of RFC 9068, each one demanded."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ServiceError
from services.proof.access_token import (
    SKEW,
    AccessToken,
    claims_for,
    verify_access_token,
)
from services.proof.errors import (
    ExpiredTokenError,
    MissingClaimError,
    NotYetValidError,
    SignatureError,
    WrongAudienceError,
    WrongIssuerError,
    WrongTypeError,
)
from services.proof.jws import parse
from tests.services.tokens import (
    ABSENT,
    AUDIENCE,
    ISSUER,
    NOW,
    THUMBPRINT,
    Signer,
    claims,
)

SIGNER = Signer()
ISSUED = int(NOW.timestamp())
REQUIRED = ["iss", "aud", "sub", "client_id", "scope", "iat", "exp", "jti"]


def verified(
    changes: Mapping[str, Any] | None = None,
    *,
    now: datetime = NOW,
    text: str | None = None,
) -> AccessToken:
    """Verify a good token, but for the `changes`, as a resource service does."""
    token = parse(text or SIGNER.token(claims(**(changes or {}))))
    return verify_access_token(
        token, SIGNER.key, issuer=ISSUER, audience=AUDIENCE, now=now
    )


def test_a_good_token_says_what_was_signed() -> None:
    """Every claim comes out under its name and type."""
    assert verified() == AccessToken(
        issuer=ISSUER,
        audience=AUDIENCE,
        subject="storefront",
        client_id="storefront",
        scopes=frozenset({"orders.read"}),
        issued_at=NOW,
        expires_at=NOW + timedelta(minutes=5),
        token_id="0123456789abcdef",
        confirmation={"x5t#S256": THUMBPRINT},
    )


def test_what_is_signed_is_what_is_read() -> None:
    """The claims the token service signs give the same token back."""
    token = verified({"scope": "a b c"})
    assert verified(text=SIGNER.token(claims_for(token))) == token


def test_an_unbound_token_has_no_confirmation_claim() -> None:
    """A bearer token is signed without `cnf`, not with an empty one."""
    bearer = verified({"cnf": ABSENT})
    assert bearer.confirmation is None
    assert "cnf" not in claims_for(bearer)


def test_times_are_signed_as_whole_seconds() -> None:
    """A NumericDate of ours is an integer, whatever the clock said."""
    signed = claims_for(verified({"iat": ISSUED + 0.75, "exp": ISSUED + 1.5}))
    assert (signed["iat"], signed["exp"]) == (ISSUED, ISSUED + 1)


def test_the_signature_comes_first() -> None:
    """Claims of an unsigned token are not looked at, however wrong."""
    with pytest.raises(SignatureError):
        verified(text=Signer().sign(SIGNER.header(), claims(iss="thief")))


def test_another_kind_of_jwt_is_refused() -> None:
    """An introspection answer with all the claims of a token is none (9701, 8.1)."""
    header = SIGNER.header(typ="token-introspection+jwt")
    with pytest.raises(WrongTypeError):
        verified(text=SIGNER.sign(header, claims()))


@pytest.mark.parametrize("name", REQUIRED)
def test_each_required_claim_is_demanded(name: str) -> None:
    """A token without one of them is refused (RFC 9068, section 2.2)."""
    with pytest.raises(MissingClaimError, match=f"^{name} "):
        verified({name: ABSENT})


@pytest.mark.parametrize("value", [None, "", 7, True, [], {}, ["text"]], ids=repr)
@pytest.mark.parametrize("name", ["iss", "sub", "client_id", "scope", "jti"])
def test_texts_are_texts(name: str, value: object) -> None:
    """A claim of another type than text, or an empty one, is as good as none."""
    with pytest.raises(MissingClaimError, match=f"^{name} "):
        verified({name: value})


@pytest.mark.parametrize("issuer", [ISSUER + "/", ISSUER.upper(), "https://thief"])
def test_another_issuer_is_refused(issuer: str) -> None:
    """Issuers are compared as texts, without any normal form (RFC 9068, 4)."""
    with pytest.raises(WrongIssuerError):
        verified({"iss": issuer})


@pytest.mark.parametrize(
    "audience",
    ["https://stock.shop.internal", AUDIENCE + "/", AUDIENCE.upper(), AUDIENCE[:-1]],
)
def test_another_audience_is_refused(audience: str) -> None:
    """A token for another service opens nothing here (RFC 8707, section 3)."""
    with pytest.raises(WrongAudienceError):
        verified({"aud": audience})


def test_an_array_of_the_one_audience_is_taken() -> None:
    """RFC 7519, section 4.1.3, lets one audience be written as an array of one."""
    assert verified({"aud": [AUDIENCE]}).audience == AUDIENCE


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param([], id="none"),
        pytest.param([AUDIENCE, "https://stock.shop.internal"], id="two"),
        pytest.param([AUDIENCE, AUDIENCE], id="the-same-twice"),
        pytest.param([[AUDIENCE]], id="nested"),
        pytest.param([""], id="empty-text"),
        pytest.param({"aud": AUDIENCE}, id="object"),
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param(7, id="number"),
    ],
)
def test_there_is_exactly_one_audience(audience: object) -> None:
    """A token for several services could be used by one of them at another."""
    with pytest.raises(MissingClaimError, match="exactly one audience"):
        verified({"aud": audience})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(str(ISSUED), id="text"),
        pytest.param(True, id="true"),
        pytest.param(None, id="null"),
        pytest.param([ISSUED], id="list"),
        pytest.param(10**30, id="huge"),
        pytest.param(-(10**30), id="hugely-negative"),
        pytest.param(10**400, id="beyond-a-float"),
        pytest.param(1e300, id="huge-float"),
    ],
)
@pytest.mark.parametrize("name", ["iat", "exp", "nbf"])
def test_times_are_dates(name: str, value: object) -> None:
    """A time that is no number of seconds, or no date, refuses (RFC 7519, 2)."""
    with pytest.raises(MissingClaimError, match=f"^{name} "):
        verified({name: value})


def test_a_number_that_overflows_to_infinity_is_no_date() -> None:
    """JSON can write numbers that no float holds: 1e999 is none of the constants."""
    payload = json.dumps(claims(exp="END")).replace('"END"', "1e999").encode()
    with pytest.raises(MissingClaimError, match=r"^exp "):
        verified(text=SIGNER.sign(SIGNER.header(), payload))


def test_a_token_ends_at_its_end() -> None:
    """At the second of `exp` it is over: no grace for the end (RFC 7519, 4.1.4)."""
    end = NOW + timedelta(minutes=5)
    assert verified(now=end - timedelta(seconds=1)).expires_at == end
    with pytest.raises(ExpiredTokenError):
        verified(now=end)


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_clock_may_be_a_little_behind(name: str) -> None:
    """Ten seconds are forgiven, as FAPI 2.0, section 5.3.2.1, asks."""
    assert timedelta(seconds=10) == SKEW
    verified({name: ISSUED + 10})


@pytest.mark.parametrize("ahead", [11, 61, 3600])
@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_a_token_of_the_future_is_refused(name: str, ahead: int) -> None:
    """More than the grace is no clock's error."""
    with pytest.raises(NotYetValidError):
        verified({name: ISSUED + ahead, "exp": ISSUED + 7200})


def test_a_time_before_which_it_is_not_valid_may_have_passed() -> None:
    """`nbf` in the past changes nothing."""
    assert verified({"nbf": ISSUED - 60}) == verified()


@pytest.mark.parametrize(
    "confirmed", ["text", THUMBPRINT, None, 7, True, [], [THUMBPRINT]], ids=repr
)
def test_a_confirmation_is_an_object(confirmed: object) -> None:
    """A `cnf` that is no object must not be taken for none at all."""
    with pytest.raises(MissingClaimError, match=r"^cnf "):
        verified({"cnf": confirmed})


@pytest.mark.parametrize("confirmed", [{}, {"jkt": "x"}], ids=repr)
def test_a_strange_confirmation_stays_one(confirmed: dict[str, str]) -> None:
    """An object without a thumbprint is still a binding: to something unknown."""
    assert verified({"cnf": confirmed}).confirmation == confirmed


def test_unknown_claims_are_ignored() -> None:
    """Other claims neither help nor hurt (RFC 7519, section 4)."""
    assert verified({"roles": ["admin"], "azp": "x"}) == verified()


@given(
    st.dictionaries(
        st.sampled_from([*REQUIRED, "nbf", "cnf"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8)
        | st.lists(st.text(max_size=3), max_size=2),
        min_size=1,
    )
)
def test_any_claims_are_refused_in_our_words(changes: dict[str, Any]) -> None:
    """Claims of any type raise nothing but our own errors, or give a whole token."""
    try:
        token = verified(changes)
    except ServiceError:
        return
    assert token.issuer == ISSUER
    assert token.audience == AUDIENCE
    assert token.expires_at > NOW.astimezone(UTC)
