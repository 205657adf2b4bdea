"""Arguments that several modules take alike; documented in the doc fragments."""

from __future__ import annotations

IDENTITIES = {
    "type": "list",
    "elements": "dict",
    "required": True,
    "options": {
        "identity": {"type": "str", "required": True},
        "spiffe_id": {"type": "str", "required": True},
        "dns_names": {"type": "list", "elements": "str", "required": True},
        "lifetime": {"type": "int", "required": True},
        "directory": {"type": "path", "required": True},
        "owner": {"type": "str"},
    },
}

PROCESSES = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "name": {"type": "str", "required": True},
        "address": {"type": "str", "required": True},
        "port": {"type": "int", "required": True},
        "config": {"type": "path", "required": True},
        "owner": {"type": "str"},
        "document": {"type": "dict", "required": True},
    },
}

ACCOUNTS = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "directory": {"type": "path", "required": True},
    },
}
