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
  - Makes the passphrases that seal the CA's keys, at random, if there are no keys
    yet. They reach the command through a pipe and are neither printed nor returned.
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
    description: The file that holds, or will hold, the passphrase of the root's key.
    type: path
    required: true
  issuing_passphrase_file:
    description: The same for the key of the issuing CA.
    type: path
    required: true
  policy:
    description: What the CA may sign, as C(python -m pki init) reads it.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Have a certificate authority
  certbound.kit.authority:
    command: ["{{ ansible_playbook_python }}", "-m", "pki"]
    chdir: "{{ certbound_project }}"
    directory: "{{ certbound_root }}/ca"
    root_passphrase_file: "{{ certbound_root }}/secrets/root-passphrase"
    issuing_passphrase_file: "{{ certbound_root }}/secrets/issuing-passphrase"
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
import secrets
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.files import (
    create_private,
    ensure_private_directory,
    ensure_private_file,
)
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
    run_pki,
)

_SEALED = {
    "root_passphrase_file": "root.key.sealed",
    "issuing_passphrase_file": "issuing.key.sealed",
}


class LostPassphraseError(Exception):
    """A sealed key is there, and what would open it is not."""


def ensure_passphrases(params: dict[str, Any]) -> bool:
    """Make the passphrases that are missing; return whether any was.

    Raises:
        LostPassphraseError: one is missing whose key has been sealed already.
    """
    changed = False
    for option, sealed in _SEALED.items():
        file = params[option]
        key = os.path.join(params["directory"], sealed)
        changed |= ensure_private_directory(os.path.dirname(file))
        if os.path.exists(file):
            changed |= ensure_private_file(file)
        elif os.path.exists(key):
            raise LostPassphraseError(
                f"{file} is missing, which alone opens {key}: restore it, "
                "or move the CA's directory away to begin with a new one"
            )
        else:
            create_private(file, secrets.token_urlsafe(32) + "\n")
            changed = True
    return changed


def ensure_authority(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Return what `pki init` answers; in check mode it only looks."""
    arguments = ["init", "--directory", params["directory"]]
    foreseen = run_pki(
        params["command"],
        [*arguments, "--check"],
        chdir=params["chdir"],
        document=params["policy"],
    )
    if check or not foreseen["changed"]:
        return foreseen
    ensure_passphrases(params)
    return run_pki(
        params["command"],
        arguments,
        chdir=params["chdir"],
        document=params["policy"],
        passphrases={
            "--root-passphrase-fd": params["root_passphrase_file"],
            "--issuing-passphrase-fd": params["issuing_passphrase_file"],
        },
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
            # Paths, not secrets: what they hold never becomes a parameter.
            "root_passphrase_file": {
                "type": "path",
                "required": True,
                "no_log": False,
            },
            "issuing_passphrase_file": {
                "type": "path",
                "required": True,
                "no_log": False,
            },
            "policy": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        answer = ensure_authority(module.params, check=module.check_mode)
    except (PkiCommandError, LostPassphraseError) as error:
        module.fail_json(msg=f"certificate authority: {error}")
    module.exit_json(**answer, diff=difference(answer))


if __name__ == "__main__":
    main()
