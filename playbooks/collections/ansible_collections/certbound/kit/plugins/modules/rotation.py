#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The rotation of the CA's keys: where it stands, and one step of it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: rotation
short_description: Begin, show, advance or reverse a rotation of the CA
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Runs a verb of C(python -m pki rotation). The CA keeps where a rotation stands; it
    goes on only with the proof that every identity of its policy is where the phase
    wants it, and says by name who is not.
  - The action of the same name reads the passphrases on the controller and hands them
    over; they reach the command through a pipe.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
    details: A rotation is begun in words alone, and none goes on.
  diff_mode:
    support: full
    details: The phase before and after.
  platform:
    platforms: posix
options:
  command:
    description: How the C(pki) command is started on this host.
    type: list
    elements: str
    required: true
  chdir:
    description: The directory it is started in.
    type: path
    required: true
  directory:
    description: The directory of the CA.
    type: path
    required: true
  verb:
    description: What is to be done.
    type: str
    choices: [show, begin, advance, reverse]
    required: true
  what:
    description: With O(verb=begin), what is replaced.
    type: str
    choices: [issuing, root, certificates]
  evidence:
    description:
      - With O(verb=advance), what M(certbound.kit.rotation_evidence) has found on all
        hosts.
    type: list
    elements: dict
    default: []
  waivers:
    description: With O(verb=advance), the identities that need not prove anything, and
      why.
    type: dict
    default: {}
  run_id:
    description: How the ledger names this run.
    type: str
  root_passphrase_file:
    description: The file on the controller that holds the passphrase of the root's key.
      Read by the action.
    type: path
  issuing_passphrase_file:
    description: The same for the key of the issuing CA.
    type: path
  root_passphrase:
    description: Given by the action.
    type: str
  issuing_passphrase:
    description: Given by the action.
    type: str
"""

EXAMPLES = r"""
- name: Go on if everybody has proved to be where he should be
  certbound.kit.rotation:
    command: ["{{ ansible_playbook_python }}", "-m", "pki"]
    chdir: "{{ certbound_project }}"
    directory: "{{ certbound_root }}/ca"
    root_passphrase_file: "{{ certbound_secrets }}/root-passphrase"
    issuing_passphrase_file: "{{ certbound_secrets }}/issuing-passphrase"
    verb: advance
    evidence: "{{ rotation_evidence }}"
    waivers:
      stock@stock-1: broken, comes back next week
"""

RETURN = r"""
rotation:
  description: C(id), C(what), C(phase), C(since) and C(history), or null.
  type: dict
  returned: success
done:
  description: When a rotation ended last, by what it replaced.
  type: dict
  returned: success
trusted_roots:
  description: SHA-256 of each root that hosts should trust now.
  type: list
  elements: str
  returned: success
issuer:
  description: The identifier of the key that signs now, in hexadecimal.
  type: str
  returned: success
issued_after:
  description: Certificates that begin before are to be replaced; null for none.
  type: str
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
    run_pki,
)

_TOLD = {  # which passphrases a verb may need
    "begin": ("root_passphrase", "issuing_passphrase"),
    "advance": ("root_passphrase",),
}
_PROOF = ("identity", "roots", "issuer", "serial", "live")


def turn(params: dict[str, Any], verb: str, *, check: bool = False) -> dict[str, Any]:
    """Return what the CA answers to one verb."""
    arguments = ["rotation", verb, "--directory", params["directory"]]
    if verb == "begin":
        arguments += ["--what", params["what"]]
    if check:
        arguments += ["--check"]
    if verb != "show" and params["run_id"]:
        arguments += ["--run-id", params["run_id"]]
    passphrases = {
        f"--{name.replace('_', '-')}-fd": params[name]
        for name in _TOLD.get(verb, ())
        if params[name] and not check
    }
    return run_pki(
        params["command"],
        arguments,
        chdir=params["chdir"],
        document=_proof(params) if verb == "advance" else None,
        passphrases=passphrases,
    )


def _proof(params: dict[str, Any]) -> dict[str, Any]:
    return {
        "evidence": [
            {name: entry[name] for name in _PROOF}
            for entry in params["evidence"]
            if entry["serial"]  # of what was never certified there is none
        ],
        "waivers": [
            {"identity": name, "reason": reason}
            for name, reason in params["waivers"].items()
        ],
    }


def phase_of(answer: dict[str, Any]) -> str:
    """Return where a rotation stands, in words."""
    rotation = answer["rotation"]
    return "{what}: {phase}\n".format(**rotation) if rotation else "none\n"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "chdir": {"type": "path", "required": True},
            "directory": {"type": "path", "required": True},
            "verb": {
                "type": "str",
                "choices": ["show", "begin", "advance", "reverse"],
                "required": True,
            },
            "what": {"type": "str", "choices": ["issuing", "root", "certificates"]},
            "evidence": {"type": "list", "elements": "dict", "default": []},
            "waivers": {"type": "dict", "default": {}},
            "run_id": {"type": "str"},
            # Paths on the controller, for the action; not what they hold.
            "root_passphrase_file": {"type": "path", "no_log": False},
            "issuing_passphrase_file": {"type": "path", "no_log": False},
            "root_passphrase": {"type": "str", "no_log": True},
            "issuing_passphrase": {"type": "str", "no_log": True},
        },
        required_if=[("verb", "begin", ["what"])],
        supports_check_mode=True,
    )
    params, check = module.params, module.check_mode
    try:
        before = turn(params, "show")
        if check and params["verb"] != "begin":
            module.exit_json(changed=False, **before)
        answer = turn(params, params["verb"], check=check)
    except PkiCommandError as error:
        module.fail_json(msg=f"rotation: {error}")
    diff = {"before": phase_of(before), "after": phase_of(answer)}
    module.exit_json(**answer, diff=diff)


if __name__ == "__main__":
    main()
