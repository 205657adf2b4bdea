"""Tests of `services.token.form`: what a token request may look like."""

from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import ServiceError
from services.token.errors import InvalidRequestError
from services.token.form import TokenForm, read_form, remembered

FORM = "application/x-www-form-urlencoded"
GOOD = {"grant_type": "client_credentials", "client_id": "storefront"}


def read(body: str | bytes, content_type: str = FORM, query: bytes = b"") -> TokenForm:
    """Read a body with a good content type and no query, unless said otherwise."""
    data = body if isinstance(body, bytes) else body.encode()
    return read_form(data, content_type=content_type, query=query)


def refuses(reason: str, body: str | bytes, content_type: str = FORM) -> None:
    """Check that a body is refused for this reason."""
    with pytest.raises(InvalidRequestError, match=reason):
        read(body, content_type)


def test_a_form_reads() -> None:
    """Parameters come out under their names, resources in their order."""
    body = urlencode([*GOOD.items(), ("resource", "b"), ("resource", "a")])
    form = read(body)
    assert form == TokenForm(GOOD, ["b", "a"], [])


def test_an_empty_body_is_an_empty_form() -> None:
    """Nothing was sent: what is missing is said by whoever needs it."""
    assert read(b"") == TokenForm({}, [], [])


def test_a_required_parameter_is_found_or_missed() -> None:
    """A missing parameter is refused by its name (RFC 6749, section 5.2)."""
    form = read(urlencode(GOOD))
    assert form.required("client_id") == "storefront"
    with pytest.raises(InvalidRequestError, match="scope is missing"):
        form.required("scope")


@pytest.mark.parametrize(
    "content_type", [FORM.upper(), f"{FORM};charset=UTF-8", f" {FORM} ; x=y"]
)
def test_a_content_type_has_spellings(content_type: str) -> None:
    """Case and parameters of a media type do not matter (RFC 9110, section 8.3.1)."""
    assert read(urlencode(GOOD), content_type).single == GOOD


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data", FORM + "x"]
)
def test_another_content_type_is_refused(content_type: str) -> None:
    """A token request is a form and nothing else (RFC 6749, section 4.4.2)."""
    refuses("content type", urlencode(GOOD), content_type=content_type)


@pytest.mark.parametrize("query", [b"client_id=storefront", b"x", b"="])
def test_a_query_is_refused(query: bytes) -> None:
    """Parameters do not belong into the URI (RFC 6749, section 2.3.1)."""
    with pytest.raises(InvalidRequestError, match="query string"):
        read(urlencode(GOOD), query=query)


@pytest.mark.parametrize("name", ["grant_type", "client_id", "scope", "unknown"])
def test_a_parameter_given_twice_is_refused(name: str) -> None:
    """Nobody could say which of the two counts (RFC 6749, section 3.2)."""
    refuses(f"{name} is given twice", f"{name}=a&{name}=b")


def test_resource_and_audience_may_repeat() -> None:
    """RFC 8707 and RFC 8693 say so; the grants decide how many they take."""
    form = read("resource=b&audience=c&resource=a&audience=&audience=d")
    assert (form.resources, form.audiences) == (["b", "a"], ["c", "d"])


def test_an_empty_one_beside_a_full_one_is_twice() -> None:
    """Twice is twice, though one of them is empty."""
    refuses("scope is given twice", "scope=&scope=a")


def test_an_empty_parameter_counts_as_absent() -> None:
    """A parameter without a value was not sent (RFC 6749, section 3.2)."""
    assert read("scope=&resource=&client_id=a") == TokenForm({"client_id": "a"}, [], [])


def test_unknown_parameters_are_kept_out_of_the_way() -> None:
    """What nobody asks for changes nothing (RFC 6749, section 3.2)."""
    form = read("client_id=a&colour=blue")
    assert form.required("client_id") == "a"


def test_a_secret_is_refused() -> None:
    """No client has a secret, and one request has one method (RFC 6749, 2.3)."""
    refuses("client_secret beside", urlencode({**GOOD, "client_secret": "x"}))


def test_an_empty_secret_was_not_sent() -> None:
    """Some libraries send an empty secret: it authenticates nobody."""
    assert read(urlencode({**GOOD, "client_secret": ""})).single == GOOD


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("client_id", id="no-equals"),
        pytest.param("a=1&", id="trailing-ampersand"),
        pytest.param("a=1&&b=2", id="two-ampersands"),
        pytest.param("&", id="ampersand"),
        pytest.param("a=é".encode(), id="not-ascii"),
        pytest.param(b"a=\xff", id="not-utf8"),
        pytest.param("a=%FF", id="escaped-not-utf8"),
        pytest.param("a=%C3", id="escaped-half-a-character"),
        pytest.param("&".join(f"p{n}=1" for n in range(51)), id="too-many"),
        pytest.param('{"grant_type":"client_credentials"}', id="json"),
    ],
)
def test_what_is_no_form_is_refused(body: str | bytes) -> None:
    """A body is read whole or not at all."""
    refuses("no form", body)


def test_escapes_are_undone_once() -> None:
    """A plus is a blank, an escape is its character, and no more than that."""
    form = read("scope=a+b&client_id=%2561")
    assert form.single == {"scope": "a b", "client_id": "%61"}


@given(st.binary(max_size=200), st.text(max_size=30), st.binary(max_size=5))
def test_any_request_is_read_or_refused_in_our_words(
    body: bytes, content_type: str, query: bytes
) -> None:
    """No bytes raise anything but our own error."""
    for kind in (content_type, FORM):
        try:
            form = read_form(body, content_type=kind, query=query)
        except ServiceError:
            continue
        assert all(form.single.values())
        assert not query


def test_the_same_body_is_read_once() -> None:
    """Clients ask in the same words; another word makes another form."""
    body = urlencode({**GOOD, "scope": "orders.read"})
    assert read(body) is read(body)
    assert read(body + "x").single["scope"] == "orders.readx"


def test_a_body_that_was_read_needs_its_type_and_no_query() -> None:
    """What was good before is not good as JSON, or beside a query."""
    body = urlencode(GOOD)
    read(body)
    refuses("content type", body, "application/json")
    with pytest.raises(InvalidRequestError, match="query string"):
        read(body, query=b"a=b")


@pytest.mark.parametrize(
    "name", ["token", "subject_token", "client_assertion", "refresh_token", "other"]
)
def test_a_body_with_a_secret_is_not_remembered(name: str) -> None:
    """What proves something is not kept in memory for longer than its request."""
    body = urlencode({**GOOD, name: "eyJ0"})
    assert read(body) is not read(body)


def test_only_so_many_bodies_are_remembered() -> None:
    """Nobody fills the memory, neither with many bodies nor with long ones."""
    for number in range(3000):
        read(urlencode({**GOOD, "scope": str(number)}))
    assert len(remembered) <= 1024
    long = urlencode({**GOOD, "scope": "x" * 1024})
    assert read(long) is not read(long)
