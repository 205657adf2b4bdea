#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The system users of a host's instances."""

from __future__ import annotations

DOCUMENTATION = r"""
module: accounts
short_description: Have a system user and a private directory for each instance
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Makes for each instance a system user without login, and a directory that this user
    alone can read. All in one task, however many there are.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: linux
options:
  root:
    description: The directory above all of theirs, which everybody may pass through.
    type: path
    required: true
  accounts:
    description: The users.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: The user's name.
        type: str
        required: true
      directory:
        description: Its directory.
        type: path
        required: true
"""

EXAMPLES = r"""
- name: Have the users of this host
  certbound.kit.accounts:
    root: /var/lib/certbound
    accounts:
      - name: certbound-orders
        directory: /var/lib/certbound/services/orders
"""

RETURN = r"""
made:
  description: What was made or corrected.
  type: list
  elements: str
  returned: success
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.accounts import (
    AccountError,
    ensure,
)
from ansible_collections.certbound.kit.plugins.module_utils.arguments import ACCOUNTS


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "accounts": {**ACCOUNTS, "required": True},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    made: list[str] = []
    try:
        for line in ensure(
            module.params["root"], module.params["accounts"], check=module.check_mode
        ):
            if line not in made:  # in check mode a parent is missing for each below it
                made.append(line)
    except (AccountError, OSError) as error:
        module.fail_json(msg=f"accounts: {error}")
    after = "".join(f"{line}\n" for line in made)
    diff = {"before": "", "after": after}
    module.exit_json(changed=bool(made), made=made, diff=diff)


if __name__ == "__main__":
    main()
