#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The deployment's description; this file documents the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: describe
short_description: Describe on the controller what was rolled out
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Writes the description of the deployment for machines, and beside it, as
    C(topology.yml), a copy of the topology it came from. With that copy
    (E(CERTBOUND_TOPOLOGY)) everything can be stopped even if the topology itself can
    no longer be read.
  - Both are readable by their owner alone, and are replaced in one step.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: posix
options:
  deployment:
    description: The description.
    type: dict
    required: true
  file:
    description: Where it is written, on the controller.
    type: path
    required: true
  topology:
    description: The topology file, on the controller.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Describe the deployment
  certbound.kit.describe:
    deployment: "{{ certbound_deployment }}"
    file: "{{ certbound_deployment_file }}"
    topology: "{{ certbound_topology }}"
  run_once: true
"""

RETURN = r"""
files:
  description: The paths of the description and of the copy.
  type: list
  elements: str
  returned: success
"""
