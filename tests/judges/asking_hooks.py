"""Loaded by schemathesis: makes half of the requests it invents good enough to go on.

Invented clients, tokens and proofs alone would be refused at the door, and nothing
behind it would be asked. What exists stands in the environment, as JSON.
"""

import json
import os
from typing import Any
from zlib import crc32

import schemathesis

_KNOWN: dict[str, str] = json.loads(os.environ["CERTBOUND_KNOWN"])
# A second way to authenticate, or a parameter that is taken from nobody.
_AT_ODDS = ("client_assertion", "client_secret", "actor_token", "requested_token_type")


def _is_urn(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("urn:ietf:")


def _is_left_alone(made: Any) -> bool:
    return not isinstance(made, dict) or bool(crc32(repr(made).encode()) % 2)


@schemathesis.hook
def map_body(_context: Any, body: Any) -> Any:
    """Return the form, half of the time with names and tokens that exist."""
    if _is_left_alone(body):
        return body
    return _KNOWN | {
        name: value
        for name, value in body.items()
        if not str(name).startswith(_AT_ODDS) and (name not in _KNOWN or _is_urn(value))
    }


@schemathesis.hook
def map_headers(_context: Any, headers: Any) -> Any:
    """Return the header fields, half of the time without credentials."""
    if _is_left_alone(headers):
        return headers
    credentials = {"authorization", "dpop"}
    return {
        name: value
        for name, value in headers.items()
        if str(name).lower() not in credentials
    }
