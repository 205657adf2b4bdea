#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The keys that the processes of a host check tokens with, as they say themselves."""

from __future__ import annotations

DOCUMENTATION = r"""
module: known_keys
short_description: See that every process of this host knows signing keys
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Asks each process over mutual TLS, with its own identity - a service or a gateway
    for its metrics, before which it fetches the key set anew, a token service for the
    key set that it publishes - until each knows the keys named, or time is over.
  - That is the proof that a key may sign. Nothing is changed.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.identities
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is changed.
  platform:
    platforms: posix
options:
  key_ids:
    description: The keys.
    type: list
    elements: str
    required: true
  wait:
    description: How long a process may take to know them, in seconds.
    type: int
    default: 20
"""

EXAMPLES = r"""
- name: See that every guard knows the next keys
  certbound.kit.known_keys:
    identities: "{{ certbound_identities }}"
    processes: "{{ certbound_processes }}"
    key_ids: "{{ rotation_keys }}"
"""

RETURN = r"""
proved:
  description: The processes that know all of the keys.
  type: list
  elements: str
  returned: success
laggards:
  description: Each other process that checks tokens, and what is wrong.
  type: dict
  returned: success
"""

import json
import re
import time
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import (
    IDENTITIES,
    PROCESSES,
)
from ansible_collections.certbound.kit.plugins.module_utils.handshake import (
    NotServedError,
    fetch,
)
from ansible_collections.certbound.kit.plugins.module_utils.owner import (
    NoSuchUserError,
    acting_as,
)

_PAUSE = 0.5  # seconds; a key set is fetched anew every five at most
_KNOWN = re.compile(r'^certbound_known_key\{key_id="([^"]+)"\} 1\.0$', re.MULTILINE)
_VERIFIERS = ("service", "gateway")


def known_to(process: dict[str, Any], name: str) -> set[str]:
    """Return the ids of the keys that a process knows now."""
    document = process["document"]
    if document["kind"] in _VERIFIERS:
        return set(_KNOWN.findall(fetch(process, name, "/metrics")))
    path = urlsplit(document["issuer"]).path.rstrip("/") + "/jwks"
    return {key["kid"] for key in json.loads(fetch(process, name, path))["keys"]}


def fault_of(process: dict[str, Any], name: str, wanted: set[str]) -> str | None:
    """Return why a process would refuse a token by one of the keys, or None."""
    try:
        with acting_as(process["owner"]):
            missing = wanted - known_to(process, name)
    except (NotServedError, NoSuchUserError, OSError, ValueError, KeyError) as error:
        return str(error) or type(error).__name__
    return f"it does not know {', '.join(sorted(missing))}" if missing else None


def look(params: dict[str, Any]) -> tuple[list[str], dict[str, str]]:
    """Return the processes that know the keys, and what is wrong with the others."""
    names = {one["identity"]: one["dns_names"][0] for one in params["identities"]}
    wanted, deadline = set(params["key_ids"]), time.monotonic() + params["wait"]
    waiting = {
        process["document"]["instance"]: process
        for process in params["processes"]
        if process["document"]["kind"] in (*_VERIFIERS, "token-service")
    }
    proved: list[str] = []
    while True:
        faults = {}
        for identity, process in waiting.items():
            fault = fault_of(process, names[identity], wanted)
            if fault:
                faults[identity] = fault
            else:
                proved.append(identity)
        waiting = {identity: waiting[identity] for identity in faults}
        if not waiting or time.monotonic() > deadline:
            return proved, faults
        time.sleep(_PAUSE)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "identities": IDENTITIES,
            "processes": PROCESSES,
            "key_ids": {
                "type": "list",
                "elements": "str",
                "required": True,
                "no_log": False,  # ids, which are public
            },
            "wait": {"type": "int", "default": 20},
        },
        supports_check_mode=True,
    )
    proved, laggards = look(module.params)
    module.exit_json(changed=False, proved=proved, laggards=laggards)


if __name__ == "__main__":
    main()
