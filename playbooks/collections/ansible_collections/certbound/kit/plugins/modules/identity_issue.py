#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""All requests of a roll-out, signed in one go."""

from __future__ import annotations

DOCUMENTATION = r"""
module: identity_issue
short_description: Have the CA sign all requests of a roll-out at once
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Hands every request to one run of C(python -m pki issue), which unseals the CA's key
    once and records all certificates in one transaction.
  - What is signed comes from the CA's policy. The CA takes the public key from a
    request, and refuses one that asks for other names.
  - One refused request does not fail the task; each host looks at its own verdict.
  - With no requests at all the CA is not contacted.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
    details: The CA evaluates what exists of requests, and signs and records nothing.
  diff_mode:
    support: full
    details: Identities, serials, dates and reasons.
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
  run_id:
    description: A name of this roll-out, for the ledger.
    type: str
    required: true
  requests:
    description: The entries of RV(certbound.kit.identity_request#module:identities)
      that need a certificate.
    type: list
    elements: dict
    required: true
    suboptions:
      identity:
        description: The name of the identity.
        type: str
        required: true
      csr:
        description: The request in PEM; in check mode there may be none yet.
        type: str
      reason:
        description: Why a certificate is needed, for the diff.
        type: str
      needs_issue:
        description: Not used here.
        type: bool
      spki_sha256:
        description: Not used here.
        type: str
      current_serial:
        description: Not used here.
        type: str
      not_after:
        description: Not used here.
        type: str
"""

EXAMPLES = r"""
- name: Sign every request
  certbound.kit.identity_issue:
    command: ["{{ ansible_playbook_python }}", "-m", "pki"]
    chdir: "{{ certbound_project }}"
    directory: "{{ certbound_root }}/ca"
    issuing_passphrase_file: "{{ certbound_secrets }}/issuing-passphrase"
    run_id: "2026-11-22T17:35:16Z"
    requests: "{{ certbound_pending }}"
  run_once: true
  delegate_to: "{{ groups['certificate_authority'] | first }}"
"""

RETURN = r"""
results:
  description: One verdict for each request.
  type: list
  elements: dict
  returned: success
  contains:
    identity:
      description: The name of the identity.
      type: str
    verdict:
      description: C(issued), C(reused), C(refused) or C(would_issue).
      type: str
    reason:
      description: Why, in words.
      type: str
    serial:
      description: Serial of the certificate in hexadecimal.
      type: str
    not_after:
      description: Its end.
      type: str
    certificate:
      description: The certificate and its issuer's, in PEM.
      type: str
trust_bundle:
  description: The root certificates of the trust domain, in PEM.
  type: str
  returned: when the CA was asked
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.pki_command import (
    PkiCommandError,
    run_pki,
)


def issue(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Return the CA's verdicts on the requests."""
    asked = [request for request in params["requests"] if request["csr"]]
    unasked = [request for request in params["requests"] if not request["csr"]]
    # In check mode the CA may be as imaginary as the keys.
    absent = not os.path.exists(os.path.join(params["directory"], "issuing.pem"))
    if not check and unasked:
        names = ", ".join(request["identity"] for request in unasked)
        raise PkiCommandError(f"there is no request for {names}")
    if check and absent:
        asked, unasked = [], params["requests"]
    answer: dict[str, Any] = {"changed": False, "results": []}
    if asked:
        answer = _ask(params, asked, check=check)
    answer["results"] += [
        {
            "identity": request["identity"],
            "verdict": "would_issue",
            "reason": request["reason"],
        }
        for request in unasked
    ]
    answer["changed"] = answer["changed"] or bool(unasked)
    return answer


def _ask(
    params: dict[str, Any], requests: list[dict[str, Any]], *, check: bool
) -> dict[str, Any]:
    return run_pki(
        params["command"],
        [
            "issue",
            "--directory",
            params["directory"],
            "--run-id",
            params["run_id"],
            *(["--check"] if check else []),
        ],
        chdir=params["chdir"],
        document={
            "requests": [
                {"identity": request["identity"], "csr": request["csr"]}
                for request in requests
            ]
        },
        passphrases={}
        if check
        else {"--issuing-passphrase-fd": params["issuing_passphrase"]},
    )


def difference(
    requests: list[dict[str, Any]], results: list[dict[str, Any]]
) -> dict[str, str]:
    """Return each verdict in a line."""
    why = {request["identity"]: request["reason"] for request in requests}
    lines = []
    for result in results:
        line = f"{result['identity']}: {result['verdict'].replace('_', ' ')}"
        if result.get("serial"):
            line += f" serial {result['serial']} until {result['not_after']}"
        reason = why.get(result["identity"])
        if result["verdict"] == "refused":
            reason = result["reason"]
        lines.append(f"{line}, because: {reason}\n")
    return {"before": "", "after": "".join(lines)}


def main() -> None:
    """Run the module."""
    request = {
        "identity": {"type": "str", "required": True},
        "csr": {"type": "str"},
        "reason": {"type": "str"},
        "needs_issue": {"type": "bool"},
        "spki_sha256": {"type": "str"},
        "current_serial": {"type": "str"},
        "not_after": {"type": "str"},
    }
    module = AnsibleModule(
        argument_spec={
            "command": {"type": "list", "elements": "str", "required": True},
            "chdir": {"type": "path", "required": True},
            "directory": {"type": "path", "required": True},
            # A path on the controller, for the action; not what it holds.
            "issuing_passphrase_file": {"type": "path", "no_log": False},
            "issuing_passphrase": {"type": "str", "no_log": True},
            "run_id": {"type": "str", "required": True},
            "requests": {
                "type": "list",
                "elements": "dict",
                "options": request,
                "required": True,
            },
        },
        supports_check_mode=True,
    )
    try:
        answer = issue(module.params, check=module.check_mode)
    except PkiCommandError as error:
        module.fail_json(msg=f"the CA did not sign: {error}")
    module.exit_json(
        **answer, diff=difference(module.params["requests"], answer["results"])
    )


if __name__ == "__main__":
    main()
