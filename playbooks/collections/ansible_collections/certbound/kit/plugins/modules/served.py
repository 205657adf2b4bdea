#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The gate of a wave: what was installed is served, and strangers are refused."""

from __future__ import annotations

DOCUMENTATION = r"""
module: served
short_description: See that each process serves its new certificate
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Connects to the live port of each process over mutual TLS, with the identity that
    is installed there, until the certificate served is the one installed and the
    request is answered. Then connects without a certificate, which must be refused.
  - When all is well, the checkpoint is removed; there is nothing to go back to. That
    alone is no change of the host.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.identities
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
    details: Nothing is looked at, since nothing was installed.
  diff_mode:
    support: none
    details: Nothing is changed.
  platform:
    platforms: posix
options:
  wait:
    description: How long a process may take, in seconds.
    type: int
    default: 15
  checkpoint:
    description: As in M(certbound.kit.identity_install).
    type: path
"""

EXAMPLES = r"""
- name: See that the new certificates are served
  certbound.kit.served:
    identities: "{{ certbound_identities }}"
    processes: "{{ certbound_processes }}"
    checkpoint: "{{ certbound_root }}/checkpoint.json"
"""

RETURN = r"""
served:
  description: The serial that each process serves, by its name.
  type: dict
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import (
    IDENTITIES,
    PROCESSES,
)
from ansible_collections.certbound.kit.plugins.module_utils.checkpoint import forget
from ansible_collections.certbound.kit.plugins.module_utils.handshake import (
    NotServedError,
    served_by,
)
from ansible_collections.certbound.kit.plugins.module_utils.owner import NoSuchUserError


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "identities": IDENTITIES,
            "processes": PROCESSES,
            "wait": {"type": "int", "default": 15},
            "checkpoint": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, served={})
    params = module.params
    served: dict[str, str] = {}
    try:
        served.update(
            served_by(params["identities"], params["processes"], params["wait"])
        )
    except (NotServedError, NoSuchUserError, OSError) as error:
        module.fail_json(msg=str(error), served=served)
    if params["checkpoint"]:
        forget(params["checkpoint"])
    module.exit_json(changed=False, served=served)


if __name__ == "__main__":
    main()
