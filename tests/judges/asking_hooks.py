"""Loaded by schemathesis: puts what exists into half of the requests it invents.

Invented clients and tokens alone would be refused at the door, and nothing behind it
would be asked. What exists stands in the environment, as JSON.
"""

import json
import os
from typing import Any

import schemathesis

_KNOWN: dict[str, str] = json.loads(os.environ["CERTBOUND_KNOWN"])


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Return the form, half of the time with names and tokens that exist."""
    if not isinstance(body, dict) or sum(map(len, map(str, body.values()))) % 2:
        return body
    return {
        name: _KNOWN.get(name, value) if isinstance(value, str) else value
        for name, value in body.items()
    }
