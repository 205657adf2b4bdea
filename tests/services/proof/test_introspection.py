"""Tests of `services.proof.introspection`: only a signed answer to us, now, is one."""

from datetime import timedelta
from typing import Any

import pytest

from services.proof.access_token import AccessToken
from services.proof.errors import (
    ExpiredTokenError,
    InvalidTokenError,
    NotYetValidError,
    WrongTypeError,
)
from services.proof.introspection import parse_answer, verify_answer
from services.proof.introspection_errors import (
    AnswerAudienceError,
    AnswerIssuerError,
    AnswerKeyError,
    AnswerTypeError,
    InactiveTokenError,
    IntrospectionError,
    MalformedAnswerError,
    StaleAnswerError,
)
from services.proof.jws import parse, verify
from tests.services.tokens import ABSENT, ISSUER, NOW, Signer, claims

GATEWAY = "https://gateway.shop.internal"
SIGNER = Signer()


def members(**changes: Any) -> dict[str, Any]:
    """Return what is said of an active token, but for the `changes`."""
    return {"active": True, "token_type": "Bearer", **claims(**changes)}


def answer(**changes: Any) -> dict[str, Any]:
    """Return the claims of a good answer, but for the `changes`."""
    good = {
        "iss": ISSUER,
        "aud": GATEWAY,
        "iat": int(NOW.timestamp()),
        "token_introspection": members(),
    }
    return {
        name: value
        for name, value in {**good, **changes}.items()
        if value is not ABSENT
    }


def verified(payload: Any, signer: Signer = SIGNER, **header: Any) -> AccessToken:
    """Verify what `signer` signs as an answer."""
    head = signer.header(**{"typ": "token-introspection+jwt", **header})
    text = signer.sign(head, payload)
    return verify_answer(
        parse_answer(text), SIGNER.key, issuer=ISSUER, audience=GATEWAY, now=NOW
    )


def test_an_active_token_is_read() -> None:
    """What the token service says of a token is what the token would have said."""
    token = verified(answer())
    assert (token.subject, token.scopes) == ("storefront", frozenset({"orders.read"}))
    assert token.confirmation == claims()["cnf"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iss": "https://thief"}, AnswerIssuerError),
        ({"iss": ABSENT}, AnswerIssuerError),
        ({"aud": "https://orders.shop.internal"}, AnswerAudienceError),
        ({"aud": [GATEWAY, "https://orders.shop.internal"]}, AnswerAudienceError),
        ({"iat": int(NOW.timestamp()) - 11}, StaleAnswerError),
        ({"iat": int(NOW.timestamp()) + 11}, StaleAnswerError),
        ({"iat": ABSENT}, MalformedAnswerError),
        ({"iat": "now"}, MalformedAnswerError),
        ({"token_introspection": ABSENT}, MalformedAnswerError),
        ({"token_introspection": {}}, MalformedAnswerError),
        ({"token_introspection": [True]}, MalformedAnswerError),
        ({"token_introspection": members() | {"active": "true"}}, MalformedAnswerError),
        ({"token_introspection": members() | {"active": 1}}, MalformedAnswerError),
        ({"token_introspection": members(sub=ABSENT)}, MalformedAnswerError),
        ({"token_introspection": members(cnf="x")}, MalformedAnswerError),
    ],
)
def test_a_wrong_claim_is_no_answer(
    changes: dict[str, Any], error: type[IntrospectionError]
) -> None:
    """An answer that is not ours, not of now or not whole says nothing of a token."""
    with pytest.raises(error):
        verified(answer(**changes))


@pytest.mark.parametrize("seconds", [-10, 10])
def test_a_clock_may_be_a_little_wrong(seconds: int) -> None:
    """Ten seconds to either side are the same moment."""
    moment = NOW + timedelta(seconds=seconds)
    assert verified(answer(iat=int(moment.timestamp()))).client_id == "storefront"


@pytest.mark.parametrize("kind", ["at+jwt", "JWT", "jwt", "dpop+jwt", ABSENT])
def test_another_kind_of_jwt_is_no_answer(kind: object) -> None:
    """What the same key signed for another purpose cannot pass for an answer."""
    with pytest.raises(AnswerTypeError):
        verified(answer(), typ=kind)


def test_an_answer_of_another_key_is_none() -> None:
    """Whoever can answer in the token service's place cannot sign for it."""
    with pytest.raises(AnswerKeyError):
        verified(answer(), Signer())


@pytest.mark.parametrize("text", ["", '{"active":true}', "a.b", "a.b.c"])
def test_what_is_no_jwt_is_no_answer(text: str) -> None:
    """An unsigned answer is not read."""
    with pytest.raises(MalformedAnswerError):
        parse_answer(text)


def test_an_answer_names_its_key() -> None:
    """Without a key id there is nothing to check it with."""
    head = SIGNER.header(typ="token-introspection+jwt", kid=ABSENT)
    with pytest.raises(AnswerKeyError):
        parse_answer(SIGNER.sign(head, answer()))


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"active": False}, InactiveTokenError),
        ({**members(), "active": False}, InactiveTokenError),
        (members(exp=int(NOW.timestamp())), ExpiredTokenError),
        (members(iat=int(NOW.timestamp()) + 11), NotYetValidError),
    ],
)
def test_a_token_that_is_not_active_is_refused(
    said: dict[str, Any], error: type[InvalidTokenError]
) -> None:
    """Such an answer is believed, and it is the token that is refused."""
    with pytest.raises(error):
        verified(answer(token_introspection=said))


def test_an_answer_is_no_access_token() -> None:
    """A guard refuses an answer that is sent as a token (RFC 9701, section 8.1)."""
    head = SIGNER.header(typ="token-introspection+jwt")
    text = SIGNER.sign(head, {**answer(), **claims()})
    with pytest.raises(WrongTypeError):
        verify(parse(text), SIGNER.key, types=frozenset({"at+jwt"}))
