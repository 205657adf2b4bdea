"""Tests of `services.guard.credentials`: one header, one scheme, one token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ServiceError
from services.guard.credentials import Headers, credentials
from services.guard.errors import (
    MalformedCredentialsError,
    NoTokenError,
    ProofBesideBearerError,
    ProofMissingError,
    TokenInQueryError,
    TwoCredentialsError,
)
from services.proof.dpop_errors import ManyProofsError

GOOD = (b"authorization", b"Bearer abc.def.ghi")


def _token(headers: Headers, query: bytes) -> str:
    return credentials(headers, query).unverified_token


def test_the_token_is_found() -> None:
    """It stands after the scheme, and other headers do not matter."""
    headers = [(b"host", b"localhost"), GOOD, (b"accept", b"*/*")]
    assert _token(headers, b"") == "abc.def.ghi"


@pytest.mark.parametrize(
    "value",
    [b"bearer abc", b"BEARER abc", b"Bearer  abc", b" Bearer abc ", b"bEaReR abc"],
)
def test_the_scheme_has_no_case(value: bytes) -> None:
    """Case of the scheme and blanks around it do not matter (RFC 9110, 11.1)."""
    assert _token([(b"authorization", value)], b"") == "abc"


def test_the_name_of_the_header_has_no_case() -> None:
    """ASGI gives names in lower case; a server that does not is understood."""
    assert _token([(b"Authorization", b"Bearer abc")], b"") == "abc"


def test_every_character_of_a_token_is_taken() -> None:
    """The alphabet is that of RFC 6750, section 2.1, with padding at its end."""
    token = "AZaz09-._~+/=="
    headers = [(b"authorization", f"Bearer {token}".encode())]
    assert _token(headers, b"") == token


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"cookie", b"access_token=abc")],
        [(b"x-authorization", b"Bearer abc")],
        [(b"proxy-authorization", b"Bearer abc")],
        [(b"authorization", b"")],
        [(b"authorization", b"Basic YTpi")],
        [(b"authorization", b"Bearerabc")],
        [(b"authorization", b"Bearer\tabc")],
        [(b"authorization", b"abc.def.ghi")],
    ],
    ids=repr,
)
def test_no_token_is_no_token(headers: list[tuple[bytes, bytes]]) -> None:
    """Another header or scheme is as good as nothing (RFC 6750, section 3.1)."""
    with pytest.raises(NoTokenError):
        _token(headers, b"")


@pytest.mark.parametrize(
    "second",
    [GOOD, (b"authorization", b"Basic YTpi"), (b"Authorization", b"")],
    ids=repr,
)
def test_two_headers_are_refused(second: tuple[bytes, bytes]) -> None:
    """Two parties could each look at another one (RFC 6750, section 2)."""
    with pytest.raises(TwoCredentialsError):
        _token([GOOD, second], b"")


@pytest.mark.parametrize(
    "query",
    [
        b"access_token=abc",
        b"a=b&access_token=abc",
        b"access_token",
        b"access_token=",
        b"access_token&a=b",
        b"Access_Token=abc",
        b"%61ccess%5ftoken=abc",
    ],
)
def test_a_token_in_the_query_is_refused(query: bytes) -> None:
    """By then it stands in logs, so even a good header does not help (6750, 2.3)."""
    with pytest.raises(TokenInQueryError):
        _token([GOOD], query)


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"my_access_token=x",
        b"access_tokens=x",
        b"a=access_token",
        b"a=%26access_token%3D",
    ],
)
def test_another_query_is_the_applications(query: bytes) -> None:
    """A parameter of another name is none of the guard's business."""
    assert _token([GOOD], query)


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer =",
        b"Bearer abc def",
        b"Bearer abc,",
        b"Bearer abc, Bearer def",
        b'Bearer "abc"',
        b"Bearer a=b",
        b"Bearer \xc3\xa9",
        b"Bearer abc\x00",
        b"Bearer abc\x0bdef",
    ],
)
def test_what_is_no_token_is_refused(value: bytes) -> None:
    """Something follows the scheme that no token could be (RFC 6750, 2.1)."""
    with pytest.raises(MalformedCredentialsError):
        _token([(b"authorization", value)], b"")


_VALUES = st.binary(max_size=30) | st.binary(max_size=30).map(b"Bearer ".__add__)
_HEADERS = st.tuples(st.sampled_from([b"authorization", b"x"]), _VALUES)


@given(st.lists(_HEADERS, max_size=3), st.binary(max_size=20))
def test_any_headers_are_read_or_refused_in_our_words(
    headers: list[tuple[bytes, bytes]], query: bytes
) -> None:
    """No bytes raise anything but our own errors."""
    try:
        token = _token(headers, query)
    except ServiceError:
        return
    assert token
    assert token.isascii()


@pytest.mark.parametrize("value", [b"DPoP abc", b"dpop abc", b"DPOP  abc"])
def test_the_scheme_dpop_comes_with_a_proof(value: bytes) -> None:
    """Token and proof are found side by side (RFC 9449, section 7.1)."""
    brought = credentials([(b"authorization", value), (b"dpop", b"a.b.c")], b"")
    assert (brought.scheme, brought.unverified_token) == ("DPoP", "abc")
    assert brought.unverified_proof == "a.b.c"


def test_the_scheme_dpop_without_a_proof_is_refused() -> None:
    """A bound token is sent with a proof, or it is a theft."""
    with pytest.raises(ProofMissingError):
        credentials([(b"authorization", b"DPoP abc")], b"")


def test_two_proofs_are_refused() -> None:
    """Which of them counts nobody can say (RFC 9449, section 4.3)."""
    headers = [(b"authorization", b"DPoP abc"), (b"dpop", b"a"), (b"DPoP", b"b")]
    with pytest.raises(ManyProofsError):
        credentials(headers, b"")


def test_a_proof_beside_bearer_is_refused() -> None:
    """Who sends both did not say which of the two holds the token."""
    with pytest.raises(ProofBesideBearerError):
        credentials([GOOD, (b"dpop", b"a.b.c")], b"")
