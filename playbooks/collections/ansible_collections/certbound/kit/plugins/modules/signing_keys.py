#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The signing keys of a host's token service: where they stand, and one step."""

from __future__ import annotations

DOCUMENTATION = r"""
module: signing_keys
short_description: Replace the signing keys of a token service before they are due
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Runs C(python -m services signing-keys) on the files that the running process of
    this host has, which follows. A host without a token service has no keys.
  - A key may begin only when M(certbound.kit.known_keys) has seen that every process
    knows it.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
    details: Says how the keys stand.
  diff_mode:
    support: full
    details: Key ids and moments; never a key.
  platform:
    platforms: posix
options:
  python:
    description: The Python that has the kit.
    type: path
    required: true
  chdir:
    description: The directory it is started in.
    type: path
    required: true
  verb:
    description: What is to be done. C(begin) and C(withdraw) do nothing where no key
      waits.
    type: str
    choices: [show, publish, begin, withdraw]
    required: true
  older_than:
    description: With O(verb=publish), a key that has signed for less (seconds) stays.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Publish the next key
  certbound.kit.signing_keys:
    processes: "{{ certbound_processes }}"
    python: "{{ certbound_python }}"
    chdir: "{{ certbound_chdir }}"
    verb: publish
  register: rotation_keys
"""

RETURN = r"""
keys:
  description: The ids C(signing) and C(waiting), the moments C(since), C(begins) and
    C(forgotten_at), and the ids C(retired); null where there is no token service.
  type: dict
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import PROCESSES
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
    run_pki,
)

_SHOWN = ("signing", "since", "waiting", "begins", "retired", "forgotten_at")


def turn(params: dict[str, Any], process: dict[str, Any], verb: str) -> dict[str, Any]:
    """Return what the command says of one process after `verb`."""
    command = [params["python"]]
    owner = process["owner"]
    if owner:  # root becomes the service's user; what is then run is root's
        as_user = [f"--reuid={owner}", f"--regid={owner}", "--clear-groups"]
        command = ["setpriv", *as_user, params["python"], "-I"]
    arguments = ["-m", "services", "signing-keys", verb, process["config"]]
    if verb == "publish":
        arguments += ["--older-than", str(params["older_than"])]
    return run_pki(command, arguments, chdir=params["chdir"])


def run(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Return how the keys stand before and after, and whether they changed."""
    own = [p for p in params["processes"] if p["document"]["kind"] == "token-service"]
    if not own:
        return {"changed": False, "before": None, "keys": None}
    before = turn(params, own[0], "show")
    idle = params["verb"] in ("begin", "withdraw") and before["waiting"] is None
    if check or idle or params["verb"] == "show":
        return {"changed": False, "before": before, "keys": before}
    after = turn(params, own[0], params["verb"])
    return {"changed": after["changed"], "before": before, "keys": after}


def words(keys: dict[str, Any] | None) -> str:
    """Return how keys stand, a line each."""
    return "".join(f"{name}: {keys[name]}\n" for name in _SHOWN) if keys else ""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "processes": PROCESSES,
            "python": {"type": "path", "required": True},
            "chdir": {"type": "path", "required": True},
            "verb": {
                "type": "str",
                "choices": ["show", "publish", "begin", "withdraw"],
                "required": True,
            },
            "older_than": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    try:
        done = run(module.params, check=module.check_mode)
    except PkiCommandError as error:
        module.fail_json(msg=f"signing keys: {error}")
    diff = {"before": words(done.pop("before")), "after": words(done["keys"])}
    module.exit_json(**done, diff=diff)


if __name__ == "__main__":
    main()
