#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""What a host must have before anything on it is touched."""

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check a host before anything on it is touched
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Looks for C(openssl), the version of Python, free ports, a directory to write to
    with space in it, what the process manager needs, and a sane clock.
  - Says every fault in one sentence, all in one failure. Changes nothing.
  - Says also what the host has of the product, so that it is brought what it lacks.
extends_documentation_fragment:
  - ansible.builtin.action_common_attributes
  - certbound.kit.processes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
    details: Nothing is ever changed.
  platform:
    platforms: posix
options:
  root:
    description: The directory under which everything is made.
    type: path
    required: true
  manager:
    description: What is to keep the processes alive.
    type: str
    choices: [supervisor, systemd]
    default: supervisor
  targets:
    description: With systemd, the kinds of hosts that there are releases for.
    type: list
    elements: str
    default: []
  releases:
    description: With systemd, the directory of releases.
    type: path
  accounts:
    description: With systemd, the users of M(certbound.kit.accounts).
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The user's name.
        type: str
        required: true
      directory:
        description: Its directory.
        type: path
        required: true
  python:
    description: The lowest version of Python, such as C(3.11).
    type: str
    default: "3.8"
  controller_time:
    description: The controller's clock, in seconds since 1970.
    type: int
  clock_tolerance:
    description: How far this host's clock may be from the controller's, in seconds.
    type: int
    default: 120
"""

EXAMPLES = r"""
- name: Check before anything is touched
  certbound.kit.preflight:
    root: "{{ certbound_root }}"
    processes: "{{ certbound_processes }}"
"""

RETURN = r"""
target:
  description: What kind of host this is, as releases are named.
  type: str
  returned: success
releases:
  description: The releases that are installed here.
  type: dict
  returned: success and O(releases) is given
  contains:
    installed:
      description: The digests of those that are whole.
      type: list
      elements: str
    current:
      description: The digest of the one that C(current) leads to, or null.
      type: str
has_accounts:
  description: Whether all of O(accounts) are there, as they should be.
  type: bool
  returned: success
msg:
  description: What is in the way, one sentence each.
  type: str
  returned: failure
"""

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from typing import Any, Iterator

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.accounts import ensure
from ansible_collections.certbound.kit.plugins.module_utils.arguments import (
    ACCOUNTS,
    PROCESSES,
)
from ansible_collections.certbound.kit.plugins.module_utils.processes import (
    Process,
    bind_fault,
    holder_of,
)
from ansible_collections.certbound.kit.plugins.module_utils.releases import found_in
from ansible_collections.certbound.kit.plugins.module_utils.supervisor import Places
from ansible_collections.certbound.kit.plugins.module_utils.units import present_units

# sun_path holds 104 bytes on macOS and 108 on Linux, one of them a closing zero.
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
_LEAST_SPACE = 16 * 2**20  # bytes: keys, configurations and a journal that goes on
# A clock before this kit existed has lost its battery.
_EARLIEST = 1767225600  # 2026-01-01T00:00:00Z


def faults(params: dict[str, Any]) -> Iterator[str]:
    """Yield what is in the way, one sentence each."""
    yield from python_faults(params["python"], sys.version_info[:3])
    yield from openssl_faults()
    yield from directory_faults(params["root"])
    if params["manager"] == "systemd":
        yield from systemd_faults(params["targets"])
    else:
        yield from socket_faults(params["root"])
    yield from clock_faults(
        int(time.time()), params["controller_time"], params["clock_tolerance"]
    )
    for process in params["processes"]:
        yield from port_faults(process, params["root"])


def target() -> str:
    """Return what kind of host this is: its Python and its machine."""
    return f"cp{sys.version_info[0]}{sys.version_info[1]}-{os.uname().machine}"


def systemd_faults(targets: list[str]) -> Iterator[str]:
    """Yield a fault if units could not be made here, or releases not installed."""
    if not os.path.isdir("/run/systemd/system"):
        yield "this host is not run by systemd, which is to run the services"
    if os.geteuid() != 0:
        yield "units are made by root: set ansible_become"
    if target() not in targets:
        yield (
            f"there is no release for {target()}, only for {', '.join(targets)}: "
            "add it to targets: in the inventory"
        )
    if importlib.util.find_spec("venv") is None:
        yield f"{sys.executable} comes without its venv module"


def python_faults(lowest: str, found: tuple[int, ...]) -> Iterator[str]:
    """Yield a fault if this interpreter is too old."""
    if found < tuple(int(part) for part in lowest.split(".")):
        version = ".".join(str(part) for part in found)
        yield f"{sys.executable} is Python {version}, at least {lowest} is needed"


def openssl_faults() -> Iterator[str]:
    """Yield a fault if there is no openssl, or one too old for our options."""
    command = shutil.which("openssl")
    if not command:
        yield "there is no openssl command in PATH, which makes keys and requests"
        return
    said = subprocess.run(
        [command, "version"], stdout=subprocess.PIPE, encoding="utf-8", check=False
    ).stdout.strip()
    found = re.match(r"OpenSSL (\d+)\.(\d+)\.(\d+)", said)
    if not found or tuple(int(part) for part in found.groups()) < (1, 1, 1):
        said = said or "of an unknown version"
        yield f"{command} is {said}, at least OpenSSL 1.1.1 is needed"


def directory_faults(root: str) -> Iterator[str]:
    """Yield a fault if nothing can be made under `root`."""
    existing = root
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    purpose = f"and {root} is to be made in it"
    if not os.path.isdir(existing):
        yield f"{existing} is no directory, {purpose}"
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"{existing} cannot be written by this user, {purpose}"
    else:
        free = os.statvfs(existing)
        if free.f_bavail * free.f_frsize < _LEAST_SPACE:
            yield (
                f"the disk of {existing} has {free.f_bavail * free.f_frsize >> 20} MiB "
                f"left, at least {_LEAST_SPACE >> 20} are needed"
            )


def socket_faults(root: str) -> Iterator[str]:
    """Yield a fault if the process manager's socket could not be made."""
    path = Places(root).socket
    if len(os.fsencode(path)) > _LONGEST_SOCKET:
        yield (
            f"the path of the socket {path} is longer than {_LONGEST_SOCKET} bytes: "
            "use a directory with a shorter name"
        )


def clock_faults(now: int, controller: int | None, tolerance: int) -> Iterator[str]:
    """Yield a fault if certificates made now would be valid at another time."""
    if now < _EARLIEST:
        year = time.gmtime(now).tm_year
        yield f"this host's clock stands in the year {year}: set it first"
    elif controller is not None and abs(now - controller) > tolerance:
        side = "ahead of" if now > controller else "behind"
        yield (
            f"this host's clock is {abs(now - controller)} s {side} the controller's, "
            f"at most {tolerance} s will do"
        )


def port_faults(process: dict[str, Any], root: str) -> Iterator[str]:
    """Yield a fault if the process could not listen, and is not listening already."""
    address, port = process["address"], process["port"]
    fault = bind_fault(address, port)
    if fault is None:
        return
    where = f"port {port} for {process['name']} on {address}"
    if fault.errno == errno.EADDRNOTAVAIL:
        yield f"{where} cannot be used: this host has no such address"
    elif fault.errno == errno.EACCES:
        yield f"{where} cannot be used: this user may not listen there"
    elif fault.errno != errno.EADDRINUSE:
        yield f"{where} cannot be used: {fault.strerror}"
    else:
        listens = "ListenStream={}:{}\n".format(
            f"[{address}]" if ":" in address else address, port
        )
        yield from _taken(where, holder_of(port), root, listens)


def _taken(
    where: str, holder: Process | None, root: str, listens: str
) -> Iterator[str]:
    if holder is None:
        yield f"{where} is taken by a process of another user"
    elif holder.pid == 1 and listens in "".join(present_units().values()):
        return  # systemd listens for a unit of ours
    elif not any(word.startswith(root + os.sep) for word in holder.arguments):
        yield f"{where} is taken by pid {holder.pid} ({holder.name})"


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "manager": {
                "type": "str",
                "choices": ["supervisor", "systemd"],
                "default": "supervisor",
            },
            "targets": {"type": "list", "elements": "str", "default": []},
            "releases": {"type": "path"},
            "accounts": {**ACCOUNTS, "default": []},
            "python": {"type": "str", "default": "3.8"},
            "controller_time": {"type": "int"},
            "clock_tolerance": {"type": "int", "default": 120},
            "processes": PROCESSES,
        },
        supports_check_mode=True,
    )
    params = module.params
    found: list[str] = list(faults(params))
    if found:
        module.fail_json(msg="; ".join(found))
    answer: dict[str, Any] = {"target": target()}
    if params["releases"]:
        answer["releases"] = found_in(params["releases"])
    answer["has_accounts"] = not any(
        ensure(params["root"], params["accounts"], check=True)
    )
    module.exit_json(changed=False, **answer)


if __name__ == "__main__":
    main()
