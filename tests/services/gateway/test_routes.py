"""Tests of `services.gateway.routes`: a path means one place, for every reader."""

from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.config import Upstream
from services.gateway.errors import NoRouteError, PathError
from services.gateway.routes import outside, route
from tests.services.gateway.standing import upstream_document


def upstream(url: str) -> Upstream:
    """Return an upstream at `url`."""
    return msgspec.convert(upstream_document(url=url), Upstream)


ROUTES = {
    "/orders": upstream("https://localhost:1/orders"),
    "/orders/admin": upstream("https://localhost:2/admin"),
    "/shop": upstream("https://localhost:3/"),
}


@pytest.mark.parametrize(
    ("path", "prefix", "target"),
    [
        ("/orders", "/orders", "/orders"),
        ("/orders/", "/orders", "/orders/"),
        ("/orders/7", "/orders", "/orders/7"),
        ("/orders/a%20b/%C3%A4", "/orders", "/orders/a%20b/%C3%A4"),
        ("/orders/a%2fb", "/orders", "/orders/a%2fb"),
        ("/orders//7", "/orders", "/orders//7"),
        ("/orders/...", "/orders", "/orders/..."),
        ("/orders/admin", "/orders/admin", "/admin"),
        ("/orders/admin/x", "/orders/admin", "/admin/x"),
        ("/orders/administration", "/orders", "/orders/administration"),
        ("/shop", "/shop", "/"),
        ("/shop/a", "/shop", "/a"),
    ],
)
def test_the_longest_route_is_taken(path: str, prefix: str, target: str) -> None:
    """What follows the prefix goes on as it was sent, letter for letter."""
    taken = route(path.encode(), b"", ROUTES)
    assert (taken.prefix, taken.target) == (prefix, target.encode())


def test_the_query_goes_on() -> None:
    """It is not looked into."""
    assert route(b"/shop", b"a=%2e%2e&b", ROUTES).target == b"/?a=%2e%2e&b"


@pytest.mark.parametrize("path", ["/", "/order", "/ordersx", "/stock", "/Orders"])
def test_what_no_route_begins_is_not_found(path: str) -> None:
    """A prefix is whole segments, and has its case."""
    with pytest.raises(NoRouteError):
        route(path.encode(), b"", ROUTES)


@pytest.mark.parametrize(
    "path",
    [
        "/orders/..",
        "/orders/../admin",
        "/orders/.",
        "/orders/./admin",
        "/orders/%2e%2e/x",
        "/orders/%2E./x",
        "/orders/%252e%252e/x",
        "/orders/%25252e%25252e/x",
        "/orders/..%2fx",
        "/orders/..%5cx",
        "/orders/x%5c..%5cy",
        "/orders/..;a=b/x",
        "/orders/%2e%2e%3b/x",
        "/shop/../orders/admin",
    ],
)
def test_a_dot_segment_is_refused(path: str) -> None:
    """However deep it is wrapped, nobody climbs out of a route."""
    with pytest.raises(PathError, match="dot segment"):
        route(path.encode(), b"", ROUTES)


@pytest.mark.parametrize(
    "path",
    [
        "/orders/%61dmin",
        "/orders/%2561dmin",
        "/orders//admin",
        "/orders/admin%2fx",
        "/orders%2fadmin",
        "/orders/admin;x",
        "/orders;x/admin",
        "/orders%5cadmin",
        "//orders",
        "/%6frders",
    ],
)
def test_a_path_that_two_readers_route_apart_is_refused(path: str) -> None:
    """Nobody reaches a route under another's scopes by a spelling."""
    with pytest.raises(PathError, match="elsewhere"):
        route(path.encode(), b"", ROUTES)


@pytest.mark.parametrize(
    "path",
    [
        *("", "*", "orders", "https://a/orders"),
        *("/orders/%", "/orders/%zz", "/orders/a b", "/orders/\\"),
        *("/orders/\x00", "/orders/\xe4", "/orders/%00", "/orders/%0d%0a"),
    ],
)
def test_what_is_no_path_is_refused(path: str) -> None:
    """Only the characters of RFC 3986, and no control character behind an escape."""
    with pytest.raises(PathError):
        route(path.encode("latin-1"), b"", ROUTES)


@pytest.mark.parametrize("query", [b"a b", b"a#b", b"\x80", b"\r\n"])
def test_what_is_no_query_is_refused(query: bytes) -> None:
    """It would stand in the request line to the upstream."""
    with pytest.raises(PathError):
        route(b"/orders", query, ROUTES)


@given(st.text(alphabet="/.%25eEfFcC\\;admiorsx", max_size=24))
def test_whatever_is_let_through_stays_in_its_route(tail: str) -> None:
    """Undone as often as anybody likes, a path never leads out of its route."""
    try:
        taken = route(b"/orders/" + tail.encode(), b"", ROUTES)
    except (PathError, NoRouteError):
        return
    read = taken.target.decode()
    for _ in range(10):
        segments = read.replace("\\", "/").split("/")
        assert not {".", ".."} & set(segments)
        plain = [part for part in segments if part]
        is_admin = plain[:1] == ["admin"] or plain[:2] == ["orders", "admin"]
        assert is_admin == (taken.prefix == "/orders/admin")
        read = unquote(read)


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("https://localhost:2/admin/x?y", "/orders/admin/x?y"),
        ("https://localhost:2/admin", "/orders/admin"),
        ("/admin/x", "/orders/admin/x"),
        ("/elsewhere", "/elsewhere"),
        ("https://localhost:2/elsewhere", "/elsewhere"),
        ("https://localhost:20/admin", "https://localhost:20/admin"),
        ("https://example.com/admin", "https://example.com/admin"),
        ("//example.com/admin", "//example.com/admin"),
        ("x", "x"),
    ],
)
def test_a_location_leads_through_the_gateway(location: str, seen: str) -> None:
    """Where an upstream stands is not told outside."""
    assert outside(location, route(b"/orders/admin", b"", ROUTES)) == seen
