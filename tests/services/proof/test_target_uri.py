"""Tests of `services.proof.target_uri`: what RFC 3986 calls equal, and nothing more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.proof.target_uri import normal_uri

PLAIN = "https://token.shop.internal/token"


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(PLAIN, id="itself"),
        pytest.param("HTTPS://token.shop.internal/token", id="scheme-case"),
        pytest.param("https://Token.SHOP.internal/token", id="host-case"),
        pytest.param("https://token.shop.internal:443/token", id="default-port"),
        pytest.param("https://token.shop.internal:/token", id="empty-port"),
        pytest.param("https://token.shop.internal/%74oken", id="encoded-letter"),
        pytest.param("https://token.shop.internal/%74%6F%6b%65%6E", id="hex-case"),
        pytest.param("https://t%6fken.shop.internal/token", id="encoded-host"),
        pytest.param("https://token.shop.internal/./token", id="dot"),
        pytest.param("https://token.shop.internal/a/../token", id="two-dots"),
        pytest.param("https://token.shop.internal/../token", id="above-the-root"),
        pytest.param("https://token.shop.internal/a/%2e%2E/token", id="encoded-dots"),
        pytest.param(PLAIN + "?", id="empty-query"),
        pytest.param(PLAIN + "?grant=1&a=/../b", id="query"),
        pytest.param(PLAIN + "#part", id="fragment"),
        pytest.param(PLAIN + "?q=1#part", id="query-and-fragment"),
    ],
)
def test_equal_spellings_have_one_form(spelling: str) -> None:
    """Syntax and scheme of RFC 3986, section 6.2, make these the same URI."""
    assert normal_uri(spelling) == PLAIN


@pytest.mark.parametrize(
    "other",
    [
        pytest.param("http://token.shop.internal/token", id="scheme"),
        pytest.param("https://token.shop.internal:8443/token", id="port"),
        pytest.param("https://token.shop.internal:80/token", id="port-of-http"),
        pytest.param("https://token.shop.internal:0443/token", id="zero-in-port"),
        pytest.param("https://token.shop.internal./token", id="dot-after-host"),
        pytest.param("https://orders.shop.internal/token", id="host"),
        pytest.param("https://token.shop.internal/Token", id="path-case"),
        pytest.param("https://token.shop.internal/token/", id="closing-slash"),
        pytest.param("https://token.shop.internal//token", id="doubled-slash"),
        pytest.param("https://token.shop.internal/a/%2e%2e%2ftoken", id="slash"),
        pytest.param("https://token.shop.internal/%2574oken", id="encoded-twice"),
        pytest.param("https://token.shop.internal/token/..", id="folder"),
        pytest.param("https://token.shop.internal/.../token", id="three-dots"),
        pytest.param("https://token.shop.internal/token;a=1", id="parameter"),
        pytest.param("https://token.shop.internal", id="no-path"),
    ],
)
def test_other_uris_stay_different(other: str) -> None:
    """What only some server would treat alike is another URI."""
    assert normal_uri(other) != PLAIN


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("/token", id="path-alone"),
        pytest.param("//token.shop.internal/token", id="no-scheme"),
        pytest.param("https:/token", id="no-authority"),
        pytest.param("https:///token", id="no-host"),
        pytest.param("https://:443/token", id="port-alone"),
        pytest.param("ftp://token.shop.internal/token", id="another-scheme"),
        pytest.param("https://user@token.shop.internal/token", id="user"),
        pytest.param("https://token.shop.internal@thief/token", id="host-as-user"),
        pytest.param("https://token.shop.internal:44x/token", id="port-letters"),
        pytest.param("https://token.shop.internal:443:443/token", id="two-ports"),
        pytest.param("https://[::1/token", id="open-bracket"),
        pytest.param("https://[thief]/token", id="name-in-brackets"),
        pytest.param("https://token.shop.internal\\token", id="backslash"),
        pytest.param("https://token.shop.internal/%7", id="half-encoding"),
        pytest.param("https://token.shop.internal/%zz", id="false-encoding"),
        pytest.param("https://token.shop.internal/to ken", id="blank"),
        pytest.param(" " + PLAIN, id="leading-blank"),
        pytest.param(PLAIN + "\n", id="newline"),
        pytest.param("https://token.shop.internal/to\tken", id="tab"),
        pytest.param("https://token.shop.internal/tokén", id="not-ascii"),
        pytest.param(
            "http\N{LATIN SMALL LETTER LONG S}://token.shop.internal/token", id="long-s"
        ),
        pytest.param("https://to\N{KELVIN SIGN}en.shop.internal/token", id="kelvin"),
        pytest.param(PLAIN + "?a b", id="blank-in-query"),
        pytest.param(PLAIN + "#\ud800", id="lone-surrogate"),
    ],
)
def test_what_is_no_uri_is_refused(text: str) -> None:
    """Nothing is mended: a text outside the grammar of RFC 3986 is no URI."""
    with pytest.raises(ValueError, match="no http or https URI"):
        normal_uri(text)


@pytest.mark.parametrize(
    ("uri", "form"),
    [
        ("https://a", "https://a/"),
        ("http://a:80?q", "http://a/"),
        ("http://a:443", "http://a:443/"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
        ("https://[2001:DB8::1]/x", "https://[2001:db8::1]/x"),
        ("https://a/b/c/./../../g", "https://a/g"),  # RFC 3986, section 5.2.4
        ("https://a/mid/content=5/../6", "https://a/mid/6"),  # and this
        ("https://a/b/..", "https://a/"),
        ("https://a/b/.", "https://a/b/"),
        ("https://a/..", "https://a/"),
        ("https://a/b//../c", "https://a/b/c"),
        ("https://a/%c3%a9%7e%2f", "https://a/%C3%A9~%2F"),
    ],
)
def test_the_normal_form(uri: str, form: str) -> None:
    """Each rule gives the form that the RFC's own text gives."""
    assert normal_uri(uri) == form


@given(
    st.text(alphabet="hHtTpPsS:/.%2eEfF?#[]@aA0\N{KELVIN SIGN}").map(
        "https://a".__add__
    )
    | st.text()
)
def test_a_normal_form_is_its_own(text: str) -> None:
    """Any text is refused, or has a form that does not change any more."""
    try:
        form = normal_uri(text)
    except ValueError:
        return
    assert normal_uri(form) == form
