"""Tests of `services.proof.jws`: one form, one algorithm, one kind, one reading."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ServiceError
from services.proof.errors import (
    MalformedTokenError,
    SignatureError,
    UnknownKeyError,
)
from services.proof.jws import parse, verify
from tests.services.tokens import ABSENT, Signer, claims, encode

SIGNER = Signer()
TYPES = frozenset({"at+jwt"})

Json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner)
    ),
    max_leaves=6,
)


def opened(text: str) -> dict[str, Any]:
    """Return the claims of a token, read and verified as the guard does it."""
    return verify(parse(text), SIGNER.key, types=TYPES)


def test_a_good_token_opens() -> None:
    """A token signed by the named key gives its claims, and only those."""
    assert opened(SIGNER.token()) == claims()


def test_the_named_key_can_be_looked_up() -> None:
    """Parsing tells the key id before anything is believed."""
    assert parse(SIGNER.token()).key_id == SIGNER.key_id


# The form


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda token: "", id="empty"),
        pytest.param(lambda token: "not a token", id="prose"),
        pytest.param(lambda token: token.rpartition(".")[0], id="two-parts"),
        pytest.param(lambda token: token + ".", id="four-parts"),
        pytest.param(lambda token: "." + token.partition(".")[2], id="no-header"),
        pytest.param(lambda token: token.rpartition(".")[0] + ".", id="unsigned"),
        pytest.param(lambda token: token + "=", id="padded"),
        pytest.param(lambda token: token + "\n", id="newline"),
        pytest.param(lambda token: " " + token, id="leading-blank"),
        pytest.param(lambda token: token.replace(".", ". ", 1), id="inner-blank"),
        pytest.param(lambda token: token.replace(".", "+.", 1), id="plain-base64"),
        pytest.param(lambda token: token + "é", id="not-ascii"),
        pytest.param(lambda token: token + "\N{FULLWIDTH DIGIT ONE}", id="wide-digit"),
        pytest.param(lambda token: "A" + token, id="shifted"),
        pytest.param(lambda token: "A." + token.partition(".")[2], id="lone-character"),
    ],
)
def test_only_three_base64url_parts_are_a_token(spoil: Callable[[str], str]) -> None:
    """Whatever is no JWS in compact form is refused as it stands, never mended."""
    with pytest.raises(MalformedTokenError):
        parse(spoil(SIGNER.token()))


def test_spare_bits_are_no_second_spelling() -> None:
    """The last character has bits that encode nothing: set, they are refused."""
    token = SIGNER.token()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 64 octets end in a character of which two bits count: Q is followed by R.
    other = token[:-1] + alphabet[alphabet.index(token[-1]) + 1]
    with pytest.raises(MalformedTokenError):
        parse(other)


def test_an_overlong_token_is_not_even_decoded() -> None:
    """More than 8192 characters are refused for that alone."""
    long = SIGNER.token(claims(padding="x" * 8192))
    with pytest.raises(MalformedTokenError, match="longer than 8192"):
        parse(long)


def test_a_jwe_is_no_jws() -> None:
    """Five parts are an encrypted token (RFC 7516), which nobody asked for."""
    header = {"alg": "ECDH-ES", "enc": "A128GCM", "kid": SIGNER.key_id}
    with pytest.raises(MalformedTokenError):
        parse(".".join([encode(header), "", "aXY", "dGV4dA", "dGFn"]))


@pytest.mark.parametrize("general", [False, True], ids=["flattened", "general"])
def test_the_json_serialisation_is_refused(*, general: bool) -> None:
    """The JSON forms of RFC 7515, section 7.2, are not read where compact is due."""
    protected, payload, signature = SIGNER.token().split(".")
    signed = {"protected": protected, "signature": signature}
    form = (
        {"payload": payload, "signatures": [signed]}
        if general
        else {"payload": payload, **signed}
    )
    with pytest.raises(MalformedTokenError):
        parse(json.dumps(form))


# The header


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b"not json", id="no-json"),
        pytest.param(b"[]", id="array"),
        pytest.param(b'"text"', id="text"),
        pytest.param(b"null", id="null"),
        pytest.param(b'{"alg":"ES256","kid":"\xff"}', id="no-utf8"),
        pytest.param('{"alg":"ES256","kid":"k"}'.encode("utf-16"), id="utf16"),
        pytest.param(b'{"alg":"ES256","kid":"a","kid":"b"}', id="kid-twice"),
        pytest.param(b'{"alg":"none","kid":"a","alg":"ES256"}', id="alg-twice"),
        pytest.param(b'{"alg":"ES256","kid":"a","x":NaN}', id="nan"),
        pytest.param(b'{"alg":"ES256","kid":"a","x":-Infinity}', id="infinity"),
        pytest.param(b'{"alg":"ES256","kid":"a"}{}', id="trailing-object"),
        pytest.param(
            b'{"alg":"ES256","kid":"a","x":' + b"9" * 5000 + b"}", id="digits"
        ),
        pytest.param(b"[" * 6000, id="deep-array"),
        pytest.param(b'{"a":' * 1200, id="deep-object"),
    ],
)
def test_the_header_is_one_strict_object(header: bytes) -> None:
    """A header that two parsers could read differently is refused (RFC 8725, 3.7)."""
    with pytest.raises(MalformedTokenError):
        parse(SIGNER.sign(header, b"{}"))


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(b'{"kid":"a","x":' + b"9" * 5000 + b"}", id="digits"),
        pytest.param(b"[" * 6000, id="deep-array"),
        pytest.param(b'{"a":' * 1200, id="deep-object"),
    ],
)
def test_a_header_that_would_exhaust_a_parser_is_refused(header: bytes) -> None:
    """Neither depth nor endless digits come as far as raising something else."""
    with pytest.raises(MalformedTokenError):
        parse(SIGNER.sign(header, b"{}"))


@pytest.mark.parametrize(
    "extension",
    [
        pytest.param({"crit": ["b64"], "b64": False}, id="b64"),
        pytest.param({"b64": False}, id="b64-alone"),
        pytest.param({"b64": True}, id="b64-true"),
        pytest.param({"crit": ["exp"]}, id="crit"),
        pytest.param({"crit": []}, id="crit-empty"),
        pytest.param({"crit": "exp"}, id="crit-text"),
        pytest.param({"crit": None}, id="crit-null"),
    ],
)
def test_critical_extensions_are_refused(extension: dict[str, Any]) -> None:
    """No critical extension is understood, so each refuses (RFC 7515, 4.1.11)."""
    with pytest.raises(MalformedTokenError):
        parse(SIGNER.sign(SIGNER.header(**extension), claims()))


@pytest.mark.parametrize(
    "key_id",
    [ABSENT, None, "", 7, 7.5, True, ["k"], {"k": "k"}],
    ids=["absent", "null", "empty", "number", "float", "true", "list", "object"],
)
def test_a_token_names_its_key(key_id: object) -> None:
    """Without a key id of type text there is no key to try, and none is guessed."""
    with pytest.raises(UnknownKeyError):
        parse(SIGNER.sign(SIGNER.header(kid=key_id), claims()))


@pytest.mark.parametrize(
    "key_id",
    ["../../etc/passwd", "'; DROP TABLE keys; --", "ключ", "\x00", "\ud800"],
    ids=["path", "sql", "not-ascii", "nul", "lone-surrogate"],
)
def test_a_strange_key_id_is_only_a_text(key_id: str) -> None:
    """A key id is looked up in memory and nowhere else (RFC 8725, section 3.10)."""
    assert parse(SIGNER.sign(SIGNER.header(kid=key_id), claims())).key_id == key_id


@pytest.mark.parametrize("name", ["jwk", "jku", "x5u", "x5c"])
def test_a_key_that_the_token_brings_is_not_used(name: str) -> None:
    """The header may carry or point to a key of the attacker's: ours decides."""
    thief = Signer()
    brought: dict[str, Any] = {
        "jwk": thief.jwk(),
        "jku": "https://thief.example/jwks",
        "x5u": "https://thief.example/chain.pem",
        "x5c": [encode(thief.public_pem)],
    }
    header = thief.header(kid=SIGNER.key_id, **{name: brought[name]})
    with pytest.raises(SignatureError):
        opened(thief.sign(header, claims()))


@given(st.text() | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,40}"))
def test_any_text_is_refused_in_our_words(text: str) -> None:
    """No text raises anything but our own errors, and none opens."""
    with pytest.raises(ServiceError):
        opened(text)
