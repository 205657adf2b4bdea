#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A release of the product; this file documents the action of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Make a release of the product on the controller
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Makes, for each kind of host, one archive with the product and everything it needs,
    as wheels that a lock file names by hash, and a CycloneDX bill of materials beside
    it. Hosts need neither the internet nor a compiler to install it.
  - A release is known by a digest of the lock and the sources; one that is there is
    not made again.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: posix
options:
  project:
    description: The project's root on the controller.
    type: path
    required: true
  directory:
    description: Where releases are kept, on the controller.
    type: path
    required: true
  targets:
    description: Kinds of hosts, each a Python and a machine, such as C(cp311-x86_64).
    type: list
    elements: str
    required: true
  tokens:
    description: Whether the CA's host needs the library for a PKCS#11 token.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Have a release for Debian 12 and 13
  certbound.kit.release:
    project: "{{ certbound_project }}"
    directory: "{{ certbound_project }}/build/releases"
    targets: [cp311-x86_64, cp313-x86_64]
  run_once: true
"""

RETURN = r"""
releases:
  description: By target, the digest and the paths of archive and bill of materials.
  type: dict
  returned: success
"""
