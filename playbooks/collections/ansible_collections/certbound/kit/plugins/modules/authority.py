#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The certificate authority, as the topology wants it."""

from __future__ import annotations

DOCUMENTATION = r"""
module: authority
short_description: Have a certificate authority with this policy
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Has C(python -m pki init) make what is missing of a root, an issuing CA and a
    ledger, and sets the issuing policy. A key that exists is never replaced.
  - The passphrases that seal the CA's keys lie in files on the controller, plain or
    encrypted by Ansible Vault; if there are neither files nor keys yet, they are made
    at random. The action of the same name hands them over only if something is to be
    made; they travel inside the connection, reach the command through a pipe, and are
    neither stored on the CA's host nor printed nor returned.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The diff names what is made, with serials and dates; never a key.
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
  root_passphrase_file:
    description: The file on the controller that holds, or will hold, the passphrase of
      the root's key. Read by the action.
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
  pkcs11_module:
    description: The library of the PKCS#11 tokens in which keys are made, on this host.
    type: path
  issuing_token:
    description: The label of the token with the issuing key; its passphrase is then the
      token's PIN, which is not made at random.
    type: str
  root_token:
    description: The same for the root's key.
    type: str
  policy:
    description: What the CA may sign, as C(python -m pki init) reads it.
    type: dict
    required: true
  ledger:
    description: The URL of a PostgreSQL that is to have the ledger, instead of a file.
      A ledger that is somewhere stays there.
    type: str
  ledger_password_file:
    description: A file with its password, on this host.
    type: path
"""

EXAMPLES = r"""
- name: Have a certificate authority
  certbound.kit.authority:
    command: ["{{ ansible_playbook_python }}", "-m", "pki"]
    chdir: "{{ certbound_project }}"
    directory: "{{ certbound_root }}/ca"
    root_passphrase_file: "{{ certbound_secrets }}/root-passphrase"
    issuing_passphrase_file: "{{ certbound_secrets }}/issuing-passphrase"
    policy: "{{ certbound_ca_policy }}"
"""

RETURN = r"""
created:
  description: What was made of the CA.
  type: list
  elements: str
  returned: success
policy_changed:
  description: Whether the issuing policy was replaced.
  type: bool
  returned: success
root:
  description: Serial, expiry and SHA-256 of the root's certificate.
  type: dict
  returned: when there is a root
issuing:
  description: The same of the issuing CA's.
  type: dict
  returned: when there is an issuing CA
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
    is_there,
    run_pki,
)

_SEALED = {
    "root_passphrase": "root.key.sealed",
    "issuing_passphrase": "issuing.key.sealed",
}
# What each is needed for; a new policy alone takes neither.
_FOR = {
    "root_passphrase": {"root_key", "root_certificate", "issuing_certificate"},
    "issuing_passphrase": {"issuing_key"},
}
_TOKENS = {"root_passphrase": "root_token", "issuing_passphrase": "issuing_token"}
_OPTIONS = {
    "pkcs11_module": "--pkcs11-module",
    "issuing_token": "--issuing-token",
    "root_token": "--root-token",
}
_EVERYTHING = ["ledger", "root", "issuing CA", "policy"]


def ensure_authority(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Return what `pki init` answers; in check mode it only looks.

    What needs passphrases is not done without them: the answer then says, under
    `wanting`, which it takes, and whether each has sealed a key already.
    """
    if check and not is_there(params["command"]):  # a host with nothing on it yet
        return {"changed": True, "created": _EVERYTHING, "policy_changed": True}
    arguments = ["init", "--directory", params["directory"]]
    if params.get("ledger"):
        arguments += ["--ledger", params["ledger"]]
        if params.get("ledger_password_file"):
            arguments += ["--ledger-password-file", params["ledger_password_file"]]
    foreseen = run_pki(
        params["command"],
        [*arguments, "--check"],
        chdir=params["chdir"],
        document=params["policy"],
    )
    if check or not foreseen["changed"]:
        return foreseen
    needed = [n for n, made in _FOR.items() if made & set(foreseen["created"])]
    if not all(params[name] for name in needed):
        directory = params["directory"]
        # A token has its PIN already, as a sealed key its passphrase.
        sealed = {
            name: bool(params.get(_TOKENS[name]))
            or os.path.exists(os.path.join(directory, _SEALED[name]))
            for name in needed
        }
        return {**foreseen, "wanting": sealed}
    for name, option in _OPTIONS.items():
        if params.get(name):
            arguments += [option, params[name]]
    return run_pki(
        params["command"],
        arguments,
        chdir=params["chdir"],
        document=params["policy"],
        passphrases={f"--{n.replace('_', '-')}-fd": params[n] for n in needed},
    )


def difference(answer: dict[str, Any]) -> dict[str, str]:
    """Return what is made, in words, as Ansible shows a diff."""
    lines = [f"{name}: made" for name in answer.get("created", [])]
    if answer.get("policy_changed"):
        lines.append("policy.json: replaced")
    for name in ("root", "issuing"):
        known = answer.get(name) or {}
        if lines and "serial" in known:
            lines.append(f"{name}: serial {known['serial']} until {known['not_after']}")
    return {"before": "", "after": "".join(line + "\n" for line in lines)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "chdir": {"type": "path", "required": True},
            "directory": {"type": "path", "required": True},
            # Paths on the controller, for the action; not what they hold.
            "root_passphrase_file": {"type": "path", "no_log": False},
            "issuing_passphrase_file": {"type": "path", "no_log": False},
            "root_passphrase": {"type": "str", "no_log": True},
            "issuing_passphrase": {"type": "str", "no_log": True},
            "pkcs11_module": {"type": "path"},
            # Labels of tokens: what opens them is a passphrase.
            "issuing_token": {"type": "str", "no_log": False},
            "root_token": {"type": "str", "no_log": False},
            "policy": {"type": "dict", "required": True},
            "ledger": {"type": "str"},
            "ledger_password_file": {"type": "path", "no_log": False},
        },
        supports_check_mode=True,
    )
    try:
        answer = ensure_authority(module.params, check=module.check_mode)
    except PkiCommandError as error:
        module.fail_json(msg=f"certificate authority: {error}")
    module.exit_json(**answer, diff=difference(answer))


if __name__ == "__main__":
    main()
