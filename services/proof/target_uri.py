"""Bring the URI of a request to one spelling (RFC 3986, section 6.2.2 and 6.2.3).

A DPoP proof names the URI it was made for; `dpop` compares it with the one this server
is configured with, both brought to normal form, since RFC 9449, section 4.3, asks for
syntax and scheme normalisation:

- scheme and host in lower case; the scheme's own port, or an empty one, left out;
- percent-encoding in upper case, and undone where it hides an unreserved character;
- `.` and `..` taken out of the path *after* that, so that `%2e%2e` is one of them;
- no path at all is `/`;
- query and fragment left out.

What RFC 3986 does not call equal stays different: a closing slash, a doubled slash,
`%2F` and `/`, case in the path, a port with leading zeros, two spellings of an IPv6
address, a host with and without its closing dot. User information is refused, as
RFC 9110, section 4.2.4, advises, and so is all that is no URI: urlsplit would mend it.
"""

import re
from functools import lru_cache
from string import ascii_letters, digits

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_UNRESERVED = frozenset(ascii_letters + digits + "-._~")
_NAME = r"[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2}"
_URI = re.compile(
    rf"""
    (?P<scheme>https?)://
    (?P<host>(?:{_NAME})+|\[[0-9A-Fa-f:.]+\])
    (?::(?P<port>[0-9]*))?
    (?P<path>(?:/(?:{_NAME}|[:@])*)*)
    (?:\?[!-~]*|\#[!-~]*)?          # a query may hold what looks like a fragment
    """,
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_ENCODED = re.compile(r"%([0-9A-Fa-f]{2})")


@lru_cache(maxsize=256)
def normal_uri(text: str) -> str:
    """Return the http or https URI `text` in normal form, without query and fragment.

    Raises:
        ValueError: it is no such URI.
    """
    found = _URI.fullmatch(text)
    if found is None:
        raise ValueError("no http or https URI")
    scheme = found["scheme"].lower()
    host = _decoded(found["host"]).lower()
    port = found["port"] or _DEFAULT_PORTS[scheme]
    authority = host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"
    return f"{scheme}://{authority}{_without_dots(_decoded(found['path']))}"


def _decoded(part: str) -> str:
    """Undo the percent-encoding that need not be, and unify the rest."""
    return _ENCODED.sub(_unified, part)


def _unified(encoded: re.Match[str]) -> str:
    character = chr(int(encoded[1], 16))
    return character if character in _UNRESERVED else encoded[0].upper()


def _without_dots(path: str) -> str:
    """Take the dot segments out of an absolute or empty path (RFC 3986, 5.2.4)."""
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            del kept[-1:]  # above the root is the root
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in {".", ".."}:
        kept.append("")  # the path of a folder ends in a slash
    return "/" + "/".join(kept)
