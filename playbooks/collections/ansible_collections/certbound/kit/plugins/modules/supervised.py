#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""Processes kept alive by a supervisord of our own."""

from __future__ import annotations

DOCUMENTATION = r"""
module: supervised
short_description: Keep processes alive with a supervisord of our own
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Writes the configuration of a supervisord that belongs to this roll-out alone,
    starts it if it is not there, and has it start, restart or stop exactly the programs
    that differ. Waits until all run and listen.
  - With O(state=absent), stops everything and waits until the processes are gone.
  - Needs neither root nor systemd.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: The programs that are added, changed, removed or started again.
  platform:
    platforms: posix
options:
  state:
    description: Whether the processes run or are gone.
    type: str
    choices: [present, absent]
    default: present
  root:
    description: The roll-out's directory; its C(run) and C(log) are used.
    type: path
    required: true
  interpreter:
    description: The Python that has supervisor and the programs, if O(state=present).
    type: path
  arguments:
    description: What the interpreter is given before the configuration's path.
    type: list
    elements: str
    default: [-m, services, run]
  chdir:
    description: The directory the programs are started in. Needed if O(state=present).
    type: path
  sources:
    description: Directories of Python code; if it changes, the programs are restarted.
    type: list
    elements: path
    default: []
  wait:
    description: How long to wait for the processes to run or to be gone, in seconds.
    type: int
    default: 60
"""

EXAMPLES = r"""
- name: Run the processes of this host
  certbound.kit.supervised:
    root: "{{ certbound_root }}"
    interpreter: "{{ ansible_playbook_python }}"
    chdir: "{{ certbound_project }}"
    processes: "{{ certbound_processes }}"

- name: Stop everything
  certbound.kit.supervised:
    root: "{{ certbound_root }}"
    state: absent
"""

RETURN = r"""
started:
  description: Processes that were started, or started anew.
  type: list
  elements: str
  returned: success
stopped:
  description: Processes that were stopped for good.
  type: list
  elements: str
  returned: success
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import PROCESSES
from ansible_collections.certbound.kit.plugins.module_utils.files import (
    ensure_private_directory,
    read_text,
    write_private,
)
from ansible_collections.certbound.kit.plugins.module_utils.processes import Ours
from ansible_collections.certbound.kit.plugins.module_utils.supervision import (
    RUN,
    start,
    wait_running,
    wanted_configuration,
)
from ansible_collections.certbound.kit.plugins.module_utils.supervisor import (
    STOPPED,
    SUPERVISORD,
    Places,
    Supervisor,
    SupervisorError,
    compare,
)


def present(params: dict[str, Any], *, check: bool) -> dict[str, list[str]]:
    """Have the processes run; return what was started and stopped."""
    places = Places(params["root"])
    wanted = wanted_configuration(params, places)
    before = read_text(places.configuration) or ""
    supervisor = Supervisor(places.socket)
    alive = supervisor.alive()
    change = compare(before if alive else "", wanted)
    if check:
        programs = supervisor.programs() if alive else {}
        idle = {name for name, p in programs.items() if p.state in STOPPED}
        started = idle | change.added | change.changed
        return {"started": sorted(started), "stopped": sorted(change.removed)}
    for directory in places.directories:
        ensure_private_directory(directory)
    if before != wanted:
        write_private(places.configuration, wanted)
    again: list[str] = []
    if alive:
        # Asked even if the file has not changed: a run may have died in between.
        change = supervisor.update()
        again = supervisor.start_stopped()
    else:
        start(places, params["interpreter"], ours_of(params), params["wait"])
    wait_running(supervisor, places, params["processes"], params["wait"])
    started = change.added | change.changed | set(again)
    return {"started": sorted(started), "stopped": sorted(change.removed)}


def ours_of(params: dict[str, Any]) -> Ours:
    """Return what counts as a process of this roll-out."""
    return Ours(params["root"], [params["arguments"], SUPERVISORD])


def absent(params: dict[str, Any], *, check: bool) -> dict[str, list[str]]:
    """Have no process of this roll-out; return what was stopped."""
    ours = ours_of(params)
    supervisor = Supervisor(Places(params["root"]).socket)
    alive = supervisor.alive()
    names = sorted(supervisor.programs()) if alive else []
    orphans = {os.path.basename(process.arguments[-1]) for process in ours.find()}
    result = {"started": [], "stopped": names or sorted(orphans)}
    if check or not (alive or orphans):
        return result
    if alive:
        supervisor.shutdown()
        ours.wait_gone(params["wait"])
    left = ours.stop(params["wait"])
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise SupervisorError(f"these processes do not end: pid {pids}")
    return result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["present", "absent"],
                "default": "present",
            },
            "root": {"type": "path", "required": True},
            "interpreter": {"type": "path"},
            "arguments": {"type": "list", "elements": "str", "default": RUN},
            "chdir": {"type": "path"},
            "sources": {"type": "list", "elements": "path", "default": []},
            "processes": PROCESSES,
            "wait": {"type": "int", "default": 60},
        },
        required_if=[("state", "present", ("interpreter", "chdir"))],
        supports_check_mode=True,
    )
    os.umask(0o077)  # supervisord makes its first log before it sets its own
    act = present if module.params["state"] == "present" else absent
    try:
        result = act(module.params, check=module.check_mode)
    except (SupervisorError, OSError) as error:
        module.fail_json(msg=str(error))
    lines = [f"{name}: started\n" for name in result["started"]]
    lines += [f"{name}: stopped\n" for name in result["stopped"]]
    diff = {"before": "", "after": "".join(lines)}
    module.exit_json(changed=bool(lines), diff=diff, **result)


if __name__ == "__main__":
    main()
