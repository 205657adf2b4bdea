#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A secret that systemd hands to a unit."""

from __future__ import annotations

DOCUMENTATION = r"""
module: credential
short_description: Have a secret that systemd hands to a unit
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Where systemd is 250 or later, the secret is encrypted by C(systemd-creds) with the
    host's key, and with its TPM if it has one; elsewhere it lies in a file that root
    alone may read. The unit of M(certbound.kit.units) loads it from there.
  - The secret reaches C(systemd-creds) through a pipe. It is neither printed nor
    returned.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  platform:
    platforms: linux
options:
  unit:
    description: The unit's name, without its ending.
    type: str
    required: true
  name:
    description: The name by which the unit finds it.
    type: str
    required: true
  secret:
    description: What it holds.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Hand the passphrase to the CA's front
  certbound.kit.credential:
    unit: certbound-enrolment
    name: issuing-passphrase
    secret: "{{ lookup('ansible.builtin.file', 'issuing-passphrase') }}"
  no_log: true
"""

RETURN = r"""
path:
  description: Where it lies.
  type: str
  returned: success
encrypted:
  description: Whether it lies there encrypted.
  type: bool
  returned: success
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.credentials import (
    CredentialError,
    can_encrypt,
    holds,
    store,
    stored_at,
)


def ensure(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Have the secret where the unit looks for it; return what that changes."""
    path = stored_at(params["unit"], params["name"])
    changed = not holds(path, params["name"], params["secret"])
    if changed and not check:
        store(path, params["name"], params["secret"])
    return {"changed": changed, "path": path, "encrypted": can_encrypt()}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "unit": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "secret": {"type": "str", "required": True, "no_log": True},
        },
        supports_check_mode=True,
    )
    try:
        result = ensure(module.params, check=module.check_mode)
    except (CredentialError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
