#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The way back of a wave: what a host had before, put in place again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: revert
short_description: Return a host to what it had before the roll-out
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Puts certificates, configurations, units and the release back to what the checkpoint
    remembers, and sees that each process serves its certificate of before.
  - Without a checkpoint nothing had been changed, and nothing is.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.identities
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
    details: Nothing is changed, since nothing was installed.
  diff_mode:
    support: none
    details: The diff of the next roll-out shows what is missing.
  platform:
    platforms: posix
options:
  checkpoint:
    description: As in M(certbound.kit.identity_install).
    type: path
    required: true
  wait:
    description: How long a process may take to serve what it had, in seconds.
    type: int
    default: 15
"""

EXAMPLES = r"""
- name: Go back
  certbound.kit.revert:
    identities: "{{ certbound_identities }}"
    processes: "{{ certbound_processes }}"
    checkpoint: "{{ certbound_root }}/checkpoint.json"
"""

RETURN = r"""
reverted:
  description: The processes that have what they had before.
  type: list
  elements: str
  returned: success
still:
  description: What is not served as before, in words.
  type: list
  elements: str
  returned: success
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import (
    IDENTITIES,
    PROCESSES,
)
from ansible_collections.certbound.kit.plugins.module_utils.checkpoint import (
    IDENTITIES as KEPT_IDENTITIES,
)
from ansible_collections.certbound.kit.plugins.module_utils.checkpoint import (
    UNITS,
    forget,
    recall,
    restore_identities,
)
from ansible_collections.certbound.kit.plugins.module_utils.files import swap_symlink
from ansible_collections.certbound.kit.plugins.module_utils.handshake import (
    NotServedError,
    wait_served,
)
from ansible_collections.certbound.kit.plugins.module_utils.owner import (
    NoSuchUserError,
    acting_as,
)
from ansible_collections.certbound.kit.plugins.module_utils.systemd import (
    SystemdError,
    apply,
)
from ansible_collections.certbound.kit.plugins.module_utils.units import present_units


def revert(params: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Put everything back; return what is as before, and what does not serve so."""
    kept = recall(params["checkpoint"])
    restored = restore_identities(kept.get(KEPT_IDENTITIES, []))
    if UNITS in kept:
        apply(present_units(), kept[UNITS]["texts"])
        if kept[UNITS]["release"]:
            swap_symlink(kept[UNITS]["link"], kept[UNITS]["release"])
    still = []
    had = {one["name"] for one in kept.get(KEPT_IDENTITIES, []) if one["generation"]}
    names = {one["directory"]: one["dns_names"][0] for one in params["identities"]}
    for process in params["processes"]:
        if process["name"] not in had:
            continue
        name = names[os.path.dirname(process["config"])]
        try:
            with acting_as(process["owner"]):
                wait_served(process, name, params["wait"])
        except (NotServedError, OSError) as error:
            still.append(str(error))
    forget(params["checkpoint"])
    return restored, still


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "identities": IDENTITIES,
            "processes": PROCESSES,
            "checkpoint": {"type": "path", "required": True},
            "wait": {"type": "int", "default": 15},
        },
        supports_check_mode=True,
    )
    os.umask(0o077)
    if module.check_mode:
        module.exit_json(changed=False, reverted=[], still=[])
    try:
        restored, still = revert(module.params)
    except (SystemdError, NoSuchUserError, OSError) as error:
        module.fail_json(msg=f"not back to what was before: {error}")
    module.exit_json(changed=bool(restored), reverted=restored, still=still)


if __name__ == "__main__":
    main()
