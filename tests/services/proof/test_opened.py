"""Tests of `services.proof.opened`: remembered is what was signed, and nothing else."""

from datetime import datetime, timedelta

import pytest
from joserfc.jwk import ECKey

from services.errors import ServiceError
from services.proof.access_token import AccessToken, verify_access_token
from services.proof.errors import (
    ExpiredTokenError,
    MalformedTokenError,
    NotYetValidError,
    SignatureError,
)
from services.proof.jws import UnverifiedToken, parse
from services.proof.opened import OpenedTokens
from tests.services.tokens import AUDIENCE, ISSUER, NOW, Signer, claims

SIGNER = Signer()


def spoilt(text: str) -> str:
    """Return the token with another signature of the right form."""
    head, _, signature = text.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def verified(
    opened: OpenedTokens, text: str, key: ECKey = SIGNER.key, *, now: datetime = NOW
) -> AccessToken:
    """Verify a token as a guard does, whose memory is `opened`."""
    return verify_access_token(
        opened.parse(text),
        key,
        issuer=ISSUER,
        audience=AUDIENCE,
        now=now,
        opener=opened.open,
    )


def test_a_token_is_opened_once() -> None:
    """The second time what was found is given again, the same object."""
    opened, text = OpenedTokens(), SIGNER.token(claims())
    first = opened.open(opened.parse(text), SIGNER.key)
    assert opened.open(opened.parse(text), SIGNER.key) is first


def test_another_signature_over_the_same_claims_is_looked_at() -> None:
    """A known token lends its verdict to no text that differs from it."""
    opened, text = OpenedTokens(), SIGNER.token(claims())
    verified(opened, text)
    with pytest.raises(SignatureError):
        verified(opened, spoilt(text))


def test_the_same_text_under_another_key_is_looked_at_again() -> None:
    """A token that was good under one key is nothing under the next of its name."""
    opened, text = OpenedTokens(), SIGNER.token(claims())
    verified(opened, text)
    with pytest.raises(SignatureError):
        verified(opened, text, Signer().key)


def test_a_key_that_was_read_anew_has_each_token_looked_at_again() -> None:
    """Known is known under one object; a refetched key set brings others."""
    opened, text = OpenedTokens(), SIGNER.token(claims())
    same = ECKey.import_key(SIGNER.key.as_dict(private=False))
    first = opened.open(opened.parse(text), SIGNER.key)
    assert opened.open(opened.parse(text), same) is not first


@pytest.mark.parametrize(
    ("moment", "refusal"),
    [
        (NOW + timedelta(seconds=300), ExpiredTokenError),
        (NOW - timedelta(seconds=11), NotYetValidError),
    ],
)
def test_a_known_token_is_held_to_its_times(
    moment: datetime, refusal: type[ServiceError]
) -> None:
    """That it was good a moment ago says nothing of now."""
    opened, text = OpenedTokens(), SIGNER.token(claims())
    verified(opened, text)
    with pytest.raises(refusal):
        verified(opened, text, now=moment)


def test_a_known_token_is_held_to_its_nbf() -> None:
    """`nbf` is compared each time."""
    text = SIGNER.token(claims(nbf=int(NOW.timestamp())))
    opened = OpenedTokens()
    verified(opened, text)
    with pytest.raises(NotYetValidError):
        verified(opened, text, now=NOW - timedelta(seconds=11))


def test_what_was_refused_is_not_remembered() -> None:
    """A stranger fills nothing: a false signature leaves no trace."""
    opened, text = OpenedTokens(at_most=1), SIGNER.token(claims())
    first = opened.open(opened.parse(text), SIGNER.key)
    with pytest.raises(SignatureError):
        verified(opened, spoilt(text))
    assert opened.open(opened.parse(text), SIGNER.key) is first


def test_no_more_are_remembered_than_was_said() -> None:
    """The one that was not used for the longest time gives way."""
    opened = OpenedTokens(at_most=2)
    texts = [SIGNER.token(claims(jti=f"{number:016}")) for number in range(3)]
    found = [opened.open(opened.parse(text), SIGNER.key) for text in texts[:2]]
    verified(opened, texts[0])
    verified(opened, texts[2])
    assert opened.open(parse(texts[0]), SIGNER.key) is found[0]
    assert opened.open(parse(texts[1]), SIGNER.key) is not found[1]


def test_what_is_no_token_is_refused_as_ever() -> None:
    """Unknown text is parsed as strictly as without a memory."""
    with pytest.raises(MalformedTokenError):
        OpenedTokens().parse("no token")


def test_a_parsed_token_is_what_the_parser_makes() -> None:
    """Before it was opened, a token is unverified, whoever parsed it."""
    text = SIGNER.token(claims())
    assert OpenedTokens().parse(text) == parse(text)
    assert type(OpenedTokens().parse(text)) is UnverifiedToken
