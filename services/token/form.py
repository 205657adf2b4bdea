"""The parameters of a token request, read strictly (RFC 6749, sections 3.2 and B).

A parameter given twice is refused (only `resource` may repeat, RFC 8707, and
`audience`, RFC 8693), an empty one counts as absent, an unknown one is ignored. A
client secret is refused: no client has one, and beside another way of authenticating
nobody could say which of them counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from services.token.errors import InvalidRequestError

LONGEST_BODY = 16_384  # bytes; the largest honest request is a few hundred
_MOST_FIELDS = 50
_REPEATABLE = frozenset({"resource", "audience"})
_CONTENT_TYPE = "application/x-www-form-urlencoded"

# A client asks for its tokens in the same words each time, and what a body says depends
# on nothing but the body. None is remembered that may hold what proves something.
_PLAIN = frozenset({"grant_type", "client_id", "scope"})
_LONGEST_REMEMBERED = 1024  # bytes
_MOST_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class TokenForm:
    """The parameters of one request: none is empty."""

    single: Mapping[str, str]
    resources: Sequence[str]
    audiences: Sequence[str] = ()  # of a token exchange alone

    def required(self, name: str) -> str:
        """Return the parameter `name`.

        Raises:
            InvalidRequestError: it is absent.
        """
        try:
            return self.single[name]
        except KeyError:
            raise InvalidRequestError(f"{name} is missing") from None


remembered: dict[bytes, TokenForm] = {}


def read_form(body: bytes, *, content_type: str, query: bytes) -> TokenForm:
    """Return the parameters of a token request.

    Args:
        body: the whole body, at most `LONGEST_BODY` bytes.
        content_type: the header's value, parameters and all; empty when absent.
        query: the query string, which must be empty: credentials and tokens do not
            belong into a URI (RFC 6749, section 2.3.1).

    Raises:
        InvalidRequestError: the message says which rule is broken.
    """
    if content_type.partition(";")[0].strip().lower() != _CONTENT_TYPE:
        raise InvalidRequestError(f"content type is not {_CONTENT_TYPE}")
    if query:
        raise InvalidRequestError("parameters in the query string")
    if (known := remembered.get(body)) is not None:
        return known
    form = _form(_pairs(body))
    if len(body) <= _LONGEST_REMEMBERED and form.single.keys() <= _PLAIN:
        if len(remembered) >= _MOST_REMEMBERED:
            remembered.clear()
        remembered[body] = form
    return form


def _pairs(body: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(body),
            errors="strict",
            max_num_fields=_MOST_FIELDS,
        )
    except ValueError as error:
        raise InvalidRequestError(f"no form: {type(error).__name__}") from None


def _form(pairs: list[tuple[str, str]]) -> TokenForm:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen and name not in _REPEATABLE:
            raise InvalidRequestError(f"{name} is given twice")
        seen.add(name)
    given = [(name, value) for name, value in pairs if value]
    single = {name: value for name, value in given if name not in _REPEATABLE}
    if "client_secret" in single:
        raise InvalidRequestError("client_secret beside a client certificate")
    resources, audiences = (
        [value for name, value in given if name == kind]
        for kind in ("resource", "audience")
    )
    return TokenForm(single, resources, audiences)
