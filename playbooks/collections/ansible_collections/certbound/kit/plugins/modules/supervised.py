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
    that differ. Waits until all run.
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
    default: 30
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

import hashlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.arguments import PROCESSES
from ansible_collections.certbound.kit.plugins.module_utils.files import (
    ensure_private_directory,
    read_text,
    write_private,
)
from ansible_collections.certbound.kit.plugins.module_utils.processes import (
    processes_naming,
    stop,
    wait_gone,
)
from ansible_collections.certbound.kit.plugins.module_utils.supervision import (
    start,
    wait_running,
)
from ansible_collections.certbound.kit.plugins.module_utils.supervisor import (
    STOPPED,
    Places,
    Supervisor,
    SupervisorError,
    compare,
    configuration,
)


def present(params: dict[str, Any], *, check: bool) -> dict[str, list[str]]:
    """Have the processes run; return what was started and stopped."""
    places = Places(params["root"])
    wanted = configuration(
        places,
        [
            {
                "name": process["name"],
                "command": [
                    params["interpreter"],
                    *params["arguments"],
                    process["config"],
                ],
            }
            for process in params["processes"]
        ],
        directory=params["chdir"],
        release=release_of(params["sources"]),
    )
    before = read_text(places.configuration) or ""
    supervisor = Supervisor(places.socket)
    alive = supervisor.alive()
    change = compare(before if alive else "", wanted)
    started: set[str] = change.added | change.changed
    if check:
        idle = (
            {n for n, s in supervisor.states().items() if s in STOPPED}
            if alive
            else set()
        )
        return {"started": sorted(started | idle), "stopped": sorted(change.removed)}
    for name in ("run", "log"):
        ensure_private_directory(os.path.join(params["root"], name))
    if before != wanted:
        write_private(places.configuration, wanted)
    if not alive:
        start(places, params["interpreter"], params["wait"])
    elif before != wanted:
        supervisor.update()
    started |= set(supervisor.start_stopped()) if alive else set()
    wait_running(supervisor, places, params["wait"])
    return {"started": sorted(started), "stopped": sorted(change.removed)}


def absent(params: dict[str, Any], *, check: bool) -> dict[str, list[str]]:
    """Have no process of this roll-out; return what was stopped."""
    places = Places(params["root"])
    ours = processes_naming(params["root"])
    supervisor = Supervisor(places.socket)
    names = sorted(supervisor.states()) if supervisor.alive() else []
    result = {"started": [], "stopped": names or sorted({p.name for p in ours})}
    if check or not ours:
        return result
    if names or supervisor.alive():
        supervisor.shutdown()
        wait_gone(params["root"], params["wait"])
    left = stop(processes_naming(params["root"]), params["root"], params["wait"])
    if left:
        pids = ", ".join(str(process.pid) for process in left)
        raise SupervisorError(f"these processes do not end: pid {pids}")
    return result


def release_of(directories: list[str]) -> str:
    """Return a word that changes when any Python file in `directories` does."""
    digest = hashlib.sha256()
    for directory in directories:
        for where, _, names in sorted(os.walk(directory)):
            for name in sorted(n for n in names if n.endswith(".py")):
                path = os.path.join(where, name)
                digest.update(os.fsencode(os.path.relpath(path, directory)) + b"\0")
                with open(path, "rb") as file:
                    digest.update(hashlib.sha256(file.read()).digest())
    return digest.hexdigest()[:16]


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
            "arguments": {
                "type": "list",
                "elements": "str",
                "default": ["-m", "services", "run"],
            },
            "chdir": {"type": "path"},
            "sources": {"type": "list", "elements": "path", "default": []},
            "processes": PROCESSES,
            "wait": {"type": "int", "default": 30},
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
