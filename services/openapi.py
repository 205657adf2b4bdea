"""Parts of an OpenAPI 3.1 description, of which each room describes its own answers.

`services.description` puts them together. Error answers are made from the classes of
the errors, so that an answer that is not described can only come from a class that the
description does not know; a test looks for those.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from services.errors import ServiceError

Json = dict[str, Any]

DOCUMENT = "/openapi.json"  # where a process tells its own
TEXT: Json = {"type": "string"}
_REASONS = {
    400: "The request is malformed, or asks for what cannot be given.",
    401: "Whoever asks has not shown who it is, or that it holds what it shows.",
    403: "Whoever asks may not.",
    413: "The body is too large; the connection ends.",
    429: "Too many requests; try again later.",
    500: "Something nobody foresaw.",
    503: "What is needed to decide cannot be had now; try again later.",
}
_RETRY = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}}}
_LATER = {429, 503}


def answer(
    description: str, content: Json | None = None, *, headers: Json | None = None
) -> Json:
    """Return a response object; `content` is by media type."""
    members: Json = {"description": description}
    if headers:
        members["headers"] = headers
    if content:
        members["content"] = content
    return members


def json(schema: Json) -> Json:
    """Return content that is JSON."""
    return {"application/json": {"schema": schema}}


def text() -> Json:
    """Return content that is plain text."""
    return {"text/plain": {"schema": TEXT}}


def members(properties: Json, *, optional: Iterable[str] = ()) -> Json:
    """Return the schema of an object that has these members and no others."""
    absent = set(optional)
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in absent],
        "additionalProperties": False,
    }


def refusals(
    errors: Iterable[tuple[int, str]], *, headers: Mapping[int, Json] | None = None
) -> Json:
    """Return the responses for errors, each a status and a code."""
    codes: dict[int, set[str]] = defaultdict(set)
    for status, code in errors:
        codes[status].add(code)
    described: Json = {}
    for status, named in sorted(codes.items()):
        schema = members(
            {"error": {"type": "string", "enum": sorted(named)}}
            | {"error_description": TEXT},
            optional=["error_description"],
        )
        extra = {
            **(_RETRY if status in _LATER else {}),
            **(headers or {}).get(status, {}),
        }
        described[str(status)] = answer(_REASONS[status], json(schema), headers=extra)
    return described


def of_the_server(responses: Json) -> Json:
    """Add what the HTTP server answers by itself, before any application is asked.

    To what is no HTTP, and to a connection beyond those it has room for.
    """
    for status, description in (
        ("400", "What arrived is no HTTP request."),
        ("503", "There are too many connections."),
    ):
        known = responses.setdefault(status, answer(description))
        known["content"] = {**known.get("content", {}), **text()}
        # Its own answer has no Retry-After.
    return responses


def below(kind: type[ServiceError]) -> set[type[ServiceError]]:
    """Return `kind` and every class below it that is loaded."""
    found = {kind}
    for one in kind.__subclasses__():
        found |= below(one)
    return found
