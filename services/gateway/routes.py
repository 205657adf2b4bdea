"""Where a path leads: the longest route that it begins with, and nowhere else.

What an upstream may be asked for hangs on the route, so the gateway and the upstream
must mean the same place by a path. The path goes on exactly as it was sent; it is
therefore looked at twice, as it was sent and as the most forgiving reader would take
it: escapes undone until none is left, backslashes for slashes, several slashes for one,
parameters of a segment left out. A path that the two would route differently, or with
a dot segment in either, is refused: an honest client sends none.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

from services.config import Upstream
from services.gateway.errors import NoRouteError, PathError

# An absolute path of RFC 3986, section 3.3: whole escapes, and no other character.
_PATH = re.compile(rb"(/([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+")
_QUERY = re.compile(rb"[!-\"$-~]*")  # visible characters, and no fragment
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_DOTS = {b".", b".."}


@dataclass(frozen=True, slots=True)
class Route:
    """Where one request goes: the upstream, and the target to ask it for."""

    prefix: str
    upstream: Upstream
    target: bytes  # path and query, as bytes of the request line

    @property
    def url(self) -> str:
        """The root of the upstream."""
        uri = urlsplit(self.upstream.url)
        return f"{uri.scheme}://{uri.netloc}/"


def route(raw_path: bytes, query: bytes, routes: Mapping[str, Upstream]) -> Route:
    """Return the route of a request whose path was sent as `raw_path`.

    Raises:
        PathError: no path, no query, a dot segment, or a path with two meanings.
        NoRouteError: no route begins like it.
    """
    if not _PATH.fullmatch(raw_path) or not _QUERY.fullmatch(query):
        raise PathError("no path of RFC 3986, or no query")
    read = _as_read(raw_path)
    if _CONTROL.search(read):
        raise PathError("a control character")
    if _DOTS & {*raw_path.split(b"/"), *read.split(b"/")}:
        raise PathError("a dot segment")
    prefix = _longest(raw_path, routes)
    if prefix != _longest(read, routes):
        raise PathError("as it is read, the path leads elsewhere")
    if prefix is None:
        raise NoRouteError("no route")
    upstream = routes[prefix]
    base = urlsplit(upstream.url).path.rstrip("/").encode("ascii")
    rest = raw_path[len(prefix.rstrip("/")) :]
    target = (base + rest) or b"/"
    return Route(prefix, upstream, target + (b"?" + query if query else b""))


def outside(location: str, taken: Route) -> str:
    """Return a Location of the upstream's as the caller can follow it.

    One on the upstream itself becomes a path of the gateway's: where the upstream is
    is nobody's business outside. One that leads elsewhere is left as it is.
    """
    root = taken.url.rstrip("/")
    path = location[len(root) :] if location.startswith(f"{root}/") else location
    if not path.startswith("/") or path.startswith("//"):
        return location
    base = urlsplit(taken.upstream.url).path.rstrip("/")
    if path != base and not path.startswith((f"{base}/", f"{base}?")):
        return path  # on the upstream, and under no route that this gateway has
    return (taken.prefix.rstrip("/") + path[len(base) :]) or "/"


def _as_read(raw_path: bytes) -> bytes:
    """Return the path as the most forgiving reader would take it."""
    read = raw_path
    while (undone := unquote_to_bytes(read)) != read:
        read = undone
    segments = read.replace(b"\\", b"/").split(b"/")
    plain = [segment.partition(b";")[0] for segment in segments]
    return b"/" + b"/".join(segment for segment in plain if segment)


def _longest(path: bytes, routes: Mapping[str, Upstream]) -> str | None:
    fitting = [
        prefix
        for prefix in routes
        if path == (start := prefix.rstrip("/").encode())
        or path.startswith(start + b"/")
    ]
    return max(fitting, key=len, default=None)
