#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Certificates of identities, revoked."""

from __future__ import annotations

DOCUMENTATION = r"""
module: revocation
short_description: Revoke every certificate of some identities that has not ended
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Runs C(python -m pki revoke) for each identity. The entry in the ledger, the lists
    and the OCSP answers are one transaction, which the CA's front serves from then on.
  - What is revoked already stays as it is. An identity may have another certificate
    afterwards, with another key.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
    details: Says which certificates would be revoked.
  diff_mode:
    support: full
    details: Identities, serials and the reason.
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
  issuing_passphrase_file:
    description: The file on the controller that holds the passphrase of the issuing
      CA's key, plain or encrypted by Ansible Vault. Read by the action of this name.
    type: path
  issuing_passphrase:
    description: Given by the action.
    type: str
  identities:
    description: Whose certificates, such as C(orders@orders-1).
    type: list
    elements: str
    required: true
  reason:
    description: Why (RFC 5280, section 5.3.1).
    type: str
    choices:
      - keyCompromise
      - affiliationChanged
      - superseded
      - cessationOfOperation
      - privilegeWithdrawn
      - unspecified
    required: true
  run_id:
    description: A name of this run, for the ledger.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Revoke a stolen key's certificates
  certbound.kit.revocation:
    command: ["{{ ansible_playbook_python }}", "-m", "pki"]
    chdir: "{{ certbound_project }}"
    directory: "{{ certbound_root }}/ca"
    issuing_passphrase_file: "{{ certbound_secrets }}/issuing-passphrase"
    identities: [orders@orders-1]
    reason: keyCompromise
    run_id: "2026-11-22T17:35:16Z"
"""

RETURN = r"""
revoked:
  description: What is revoked now, each with C(identity), C(serial), C(revoked_at).
  type: list
  elements: dict
  returned: success
revoked_before:
  description: What was before, in the same form.
  type: list
  elements: dict
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
    run_pki,
)

REASONS = [
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
    "unspecified",
]


def withdraw(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Return what of all identities is revoked now, and what was before."""
    found: dict[str, Any] = {"changed": False, "revoked": [], "revoked_before": []}
    for identity in params["identities"]:
        answer = _ask(params, identity, check=True)
        if answer["changed"] and not check:
            answer = _ask(params, identity, check=False)
        found["changed"] = found["changed"] or answer["changed"]
        found["revoked"] += answer["revoked"]
        found["revoked_before"] += answer["revoked_before"]
    return found


def _ask(params: dict[str, Any], identity: str, *, check: bool) -> dict[str, Any]:
    options = [
        *("--directory", params["directory"]),
        *("--identity", identity),
        *("--reason", params["reason"]),
        *("--run-id", params["run_id"]),
    ]
    return run_pki(
        params["command"],
        ["revoke", *options, *(["--check"] if check else [])],
        chdir=params["chdir"],
        passphrases={}
        if check
        else {"--issuing-passphrase-fd": params["issuing_passphrase"]},
    )


def difference(found: dict[str, Any], reason: str) -> dict[str, str]:
    """Return each certificate in a line."""
    lines = [f"{one['identity']}: {one['serial']}\n" for one in found["revoked"]]
    after = [line.replace("\n", f" revoked: {reason}\n") for line in lines]
    return {"before": "".join(lines), "after": "".join(after)}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "chdir": {"type": "path", "required": True},
            "directory": {"type": "path", "required": True},
            # A path on the controller, for the action; not what it holds.
            "issuing_passphrase_file": {"type": "path", "no_log": False},
            "issuing_passphrase": {"type": "str", "no_log": True},
            "identities": {"type": "list", "elements": "str", "required": True},
            "reason": {"type": "str", "choices": REASONS, "required": True},
            "run_id": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    try:
        found = withdraw(module.params, check=module.check_mode)
    except PkiCommandError as error:
        module.fail_json(msg=f"the CA did not revoke: {error}")
    module.exit_json(**found, diff=difference(found, module.params["reason"]))


if __name__ == "__main__":
    main()
