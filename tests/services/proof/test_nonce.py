"""Tests of `services.proof.nonce`: on any replica, for one purpose, for a while."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proof.dpop_errors import StaleNonceError
from services.proof.nonce import STEP, NonceIssuer
from tests.services.tokens import NOW

SECRET = bytes(range(32))
NONCES = NonceIssuer(SECRET, "token endpoint")
SECOND = timedelta(seconds=1)
BEGIN = datetime(2026, 9, 21, 12, 0, 0, tzinfo=UTC)  # of a time step


def test_an_issued_nonce_is_good() -> None:
    """What was issued just now is taken."""
    NONCES.check(NONCES.issue(NOW), NOW)


def test_another_replica_takes_it() -> None:
    """Whoever has the secret and the purpose knows the nonce; nothing is stored."""
    NonceIssuer(SECRET, "token endpoint").check(NONCES.issue(NOW), NOW)


def test_another_purpose_does_not_take_it() -> None:
    """Nonces of token endpoint and resource are not interchangeable (RFC 9449, 8)."""
    with pytest.raises(StaleNonceError):
        NonceIssuer(SECRET, "resource").check(NONCES.issue(NOW), NOW)


def test_another_service_does_not_take_it() -> None:
    """Under another secret it is none."""
    with pytest.raises(StaleNonceError):
        NonceIssuer(SECRET[::-1], "token endpoint").check(NONCES.issue(NOW), NOW)


def test_a_nonce_is_good_for_two_steps() -> None:
    """It is taken to the end of the step after its own, and not a second longer."""
    nonce = NONCES.issue(BEGIN)
    NONCES.check(nonce, BEGIN + 2 * STEP - SECOND)
    with pytest.raises(StaleNonceError):
        NONCES.check(nonce, BEGIN + 2 * STEP)


def test_a_nonce_of_the_next_step_is_not_good_yet() -> None:
    """Nobody who asks now can have it, unless a clock is wrong."""
    with pytest.raises(StaleNonceError):
        NONCES.check(NONCES.issue(BEGIN + STEP), BEGIN)


def test_nonces_change_with_the_step() -> None:
    """Within a step there is one nonce, in the next another."""
    assert NONCES.issue(BEGIN) == NONCES.issue(BEGIN + STEP - SECOND)
    assert NONCES.issue(BEGIN) != NONCES.issue(BEGIN + STEP)


def test_the_step_can_be_chosen() -> None:
    """A longer step keeps a nonce good for longer."""
    nonces = NonceIssuer(SECRET, "resource", step=timedelta(minutes=5))
    nonces.check(nonces.issue(BEGIN), BEGIN + timedelta(minutes=9))


@given(st.datetimes(timezones=st.just(UTC)))
def test_nonces_are_of_allowed_characters(now: datetime) -> None:
    """At any time: 22 NQCHAR (RFC 9449, 8.1), which need no quoting in a header."""
    assert re.fullmatch(r"[\x21\x23-\x5B\x5D-\x7E]{22}", NONCES.issue(now))


@pytest.mark.parametrize("secret", [b"", b"x" * 31], ids=["none", "short"])
def test_a_weak_secret_is_refused(secret: bytes) -> None:
    """Fewer octets than the hash has make nonces that could be guessed (O53)."""
    with pytest.raises(ValueError, match="32 octets"):
        NonceIssuer(secret, "resource")


def test_a_nonce_has_a_purpose() -> None:
    """Nonces for nothing in particular would be good everywhere."""
    with pytest.raises(ValueError, match="purpose"):
        NonceIssuer(SECRET, "")


def test_a_step_is_not_shorter_than_a_second() -> None:
    """A step of no length would divide by nothing."""
    with pytest.raises(ValueError, match="a second"):
        NonceIssuer(SECRET, "resource", step=timedelta(0))


@given(st.text() | st.text(alphabet=st.characters(codec=None), max_size=30))
def test_any_other_text_is_no_nonce(text: str) -> None:
    """Any text, surrogates included, is refused in our words."""
    with pytest.raises(StaleNonceError):
        NONCES.check(text, NOW)


@given(st.integers(0, 21), st.characters(codec="ascii"))
def test_a_changed_nonce_is_none(position: int, character: str) -> None:
    """One changed character makes another nonce, which is not good."""
    good = NONCES.issue(NOW)
    changed = good[:position] + character + good[position + 1 :]
    if changed == good:
        return
    with pytest.raises(StaleNonceError):
        NONCES.check(changed, NOW)


def test_spellings_of_a_nonce_are_refused() -> None:
    """Padded, or with white space, a nonce is another text."""
    good = NONCES.issue(NOW)
    for text in (good + "==", f" {good}", good + "\n", good.swapcase(), good[:-1]):
        with pytest.raises(StaleNonceError):
            NONCES.check(text, NOW)
