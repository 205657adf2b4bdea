#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""The systemd units of a host's processes."""

from __future__ import annotations

DOCUMENTATION = r"""
module: units
short_description: Run the processes of a host under systemd
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Writes a socket and a hardened service for each process, and has systemd enable,
    start, restart or stop exactly those that differ. Waits until all say that they are
    ready.
  - Turns the symlink C(current) of the releases to the one that the units start, and
    removes releases older than the one before it.
  - A process that the topology no longer has is stopped; its units, its user, its key
    and its directory go. Its certificate ends by itself.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The units before and after.
  platform:
    platforms: linux
options:
  state:
    description: Whether the processes run, are stopped, or are gone with all they had.
    type: str
    choices: [started, stopped, absent]
    default: started
  root:
    description: The directory above all instances.
    type: path
    required: true
  releases:
    description: The directory of all releases.
    type: path
    required: true
  digest:
    description: The release to run, if O(state=started).
    type: str
  keep_releases:
    description: Whether the releases stay if O(state=absent); the CA's commands are
      in them.
    type: bool
    default: false
  checkpoint:
    description: As in M(certbound.kit.identity_install).
    type: path
"""

EXAMPLES = r"""
- name: Run the processes of this host
  certbound.kit.units:
    root: /var/lib/certbound
    releases: /opt/certbound
    digest: "{{ certbound_release.digest }}"
    processes: "{{ certbound_processes }}"
    checkpoint: /var/lib/certbound/checkpoint.json
"""

RETURN = r"""
started:
  description: Processes that were started, or started anew.
  type: list
  elements: str
  returned: success
stopped:
  description: Processes that were stopped.
  type: list
  elements: str
  returned: success
"""

import os
import shutil
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import PROCESSES
from ansible_collections.certbound.kit.plugins.module_utils.checkpoint import (
    UNITS,
    remember,
)
from ansible_collections.certbound.kit.plugins.module_utils.credentials import loaded_by
from ansible_collections.certbound.kit.plugins.module_utils.files import swap_symlink
from ansible_collections.certbound.kit.plugins.module_utils.releases import (
    directory_of,
    link_of,
    present_target,
    target_of,
)
from ansible_collections.certbound.kit.plugins.module_utils.systemd import (
    SystemdError,
    apply,
    change_to,
    enabled,
    idle,
    remove,
    stop,
)
from ansible_collections.certbound.kit.plugins.module_utils.units import (
    present_units,
    releases_in,
)

_KEPT = 1  # releases before the present one


def processes_in(names: set[str]) -> list[str]:
    """Return the processes that units belong to."""
    return sorted({name[len("certbound-") :].rpartition(".")[0] for name in names})


def start(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Have exactly the processes of the topology run; return what that changes."""
    root, digest = params["releases"], params["digest"]
    change = change_to(params["processes"], directory_of(root, digest))
    link, present, target = link_of(root), present_target(root), target_of(digest)
    changed = bool(change.touched or change.gone or present != target)
    if not check and changed:
        if params["checkpoint"]:
            remember(
                params["checkpoint"],
                UNITS,
                {"texts": change.before, "link": link, "release": present},
            )
        apply(change.before, change.wanted)
        for name in processes_in(change.gone):
            forget_instance(params["root"], name, change.before)
        swap_symlink(link, target)
        prune(root, keep={digest, *releases_in(change.before)})
    return {
        "started": processes_in(change.touched),
        "stopped": processes_in(change.gone),
        "changed": changed,
        "diff": difference(change.before, change.wanted),
    }


def end(params: dict[str, Any], *, check: bool) -> dict[str, Any]:
    """Stop everything; with state absent, remove it too."""
    before = present_units()
    running = set(before) - set(idle(before)) | set(enabled(before))
    if params["state"] == "stopped":
        if not check:
            stop(running)
        changed, wanted = running, before
    else:
        if not check:
            remove(before)
            for name in processes_in(set(before)):
                forget_instance(params["root"], name, before)
            if not params["keep_releases"]:
                shutil.rmtree(params["releases"], ignore_errors=True)
        changed, wanted = set(before), {}
    return {
        "started": [],
        "stopped": processes_in(changed),
        "changed": bool(changed),
        "diff": difference(before, wanted),
    }


def forget_instance(root: str, name: str, texts: dict[str, str]) -> None:
    """Remove the user and the directory of a process: its key ends here."""
    text = texts.get(f"certbound-{name}.service", "")
    for path in loaded_by(text):
        if os.path.exists(path):
            os.unlink(path)
    users = [line[5:] for line in text.splitlines() if line.startswith("User=")]
    # The CA outlives its front, and is of the same user.
    users = [user for user in users if user != "certbound-ca"]
    shutil.rmtree(os.path.join(root, "services", name), ignore_errors=True)
    for user in users:
        subprocess.run(
            ["/usr/sbin/userdel", user],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


def prune(releases: str, *, keep: set[str]) -> None:
    """Remove all releases but those to keep and the newest before them."""
    directory = os.path.join(releases, "releases")
    others = [
        os.path.join(directory, name)
        for name in os.listdir(directory)
        if name not in keep
    ]
    newest = sorted(others, key=os.path.getmtime, reverse=True)
    for path in newest[max(0, _KEPT + 1 - len(keep)) :]:
        shutil.rmtree(path)


def difference(before: dict[str, str], after: dict[str, str]) -> list[dict[str, str]]:
    """Return each unit that changes, as Ansible shows a diff."""
    return [
        {
            "before_header": name,
            "after_header": name,
            "before": before.get(name, ""),
            "after": after.get(name, ""),
        }
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["started", "stopped", "absent"],
                "default": "started",
            },
            "root": {"type": "path", "required": True},
            "releases": {"type": "path", "required": True},
            "digest": {"type": "str"},
            "keep_releases": {"type": "bool", "default": False},
            "checkpoint": {"type": "path"},
            "processes": PROCESSES,
        },
        required_if=[("state", "started", ("digest",))],
        supports_check_mode=True,
    )
    os.umask(0o022)
    act = start if module.params["state"] == "started" else end
    try:
        result = act(module.params, check=module.check_mode)
    except (SystemdError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
