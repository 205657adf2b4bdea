"""Check a topology against its JSON schema, and say the first mistake in a sentence.

The schema (`schemas/topology.json` of the collection) is the documentation of the
format, so its descriptions are what a person is told was expected. What one key means
to another is for `meaning`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

    from .document import Document, KeyPath

_USER = re.compile(r"//[^/\s]*@")
SCHEMA = Path(__file__).parents[3] / "schemas" / "topology.json"


def check_shape(document: Document) -> None:
    """Return if `document` has the form of a topology.

    Raises:
        TopologyError: it has not; of several mistakes, the first in the file is named.
    """
    errors = list(Draft202012Validator(_schema()).iter_errors(document.data))
    if not errors:
        return
    # A misspelt key is also a missing one: the misspelling is what helps.
    first = min(
        errors,
        key=lambda error: (
            error.validator == "required",
            _line(document, _fault(error)[0]),
        ),
    )
    raise document.refuse(*_fault(first))


def _line(document: Document, key: KeyPath) -> int:
    while key and key not in document.lines:
        key = key[:-1]
    return document.lines.get(key, 0)


def _fault(error: ValidationError) -> tuple[KeyPath, str]:
    """Return the key at fault, and what was found and expected there."""
    key: KeyPath = tuple(error.absolute_path)
    schema: dict[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    found: Any = error.instance
    if error.validator == "additionalProperties":
        known = sorted(schema.get("properties", {}))
        unknown = next(name for name in found if name not in known)
        return (*key, unknown), f"unknown key, expected one of {', '.join(known)}"
    if error.validator == "required":
        needed = next(name for name in schema["required"] if name not in found)
        path = [*list(error.absolute_schema_path)[:-1], "properties", needed]
        return (*key, needed), f"missing, expected {_expected(path)}"
    expected = _expected(list(error.absolute_schema_path)[:-1])
    if "propertyNames" in error.absolute_schema_path:
        return (*key, str(found)), f"unusable name, expected {expected}"
    return key, f"got {_shown(found)}, expected {expected}"


def _expected(path: list[str | int]) -> str:
    """Return the description of the schema's part at `path`, or of the next above.

    Where a part refers to a definition and both are described, its own words count:
    they say what is meant here.
    """
    schema = _schema()
    part: Any = schema
    description = ""
    for step in path:
        part = part[step]
        while isinstance(part, dict) and "$ref" in part:
            definition = schema["$defs"][part["$ref"].rpartition("/")[2]]
            own = {name: value for name, value in part.items() if name != "$ref"}
            part = definition | own
        if isinstance(part, dict):
            description = part.get("description", description)
    return str(description)


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return schema


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"a mapping of {len(value)}"
    if isinstance(value, list):
        return json.dumps(value, default=str) if len(value) < 9 else "a long list"  # noqa: PLR2004 -- fits one line
    # Whatever a URL says of its user is not repeated: it may be a password.
    return _USER.sub("//...@", json.dumps(value, default=str))
