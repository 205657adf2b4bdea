#!/usr/bin/python
# SPDX-License-Identifier: Apache-2.0
"""A release of the product, installed on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: release_install
short_description: Install a release of the product into a directory of its own
version_added: 0.1.0
author: The Certbound authors (@certbound)
description:
  - Installs the wheels of a release into a virtual environment of its own, offline and
    by hash. The host needs its Python with C(venv), and neither pip nor a compiler.
  - A release that is installed is not touched again. What a broken run has left of one
    is removed first.
  - The symlink C(current) is turned to the release if there is none yet, or if
    O(switch=true); otherwise the waves of the roll-out do that, host by host.
  - The archive is sent by the action of the same name, and only if it is needed.
extends_documentation_fragment: [ansible.builtin.action_common_attributes]
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  platform:
    platforms: posix
options:
  root:
    description: The directory of all releases.
    type: path
    required: true
  digest:
    description: The release's digest.
    type: str
    required: true
  archive:
    description: The archive, on the controller.
    type: path
  switch:
    description: Whether C(current) is turned to the release at once.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Install the release
  certbound.kit.release_install:
    root: /opt/certbound
    digest: "{{ certbound_release.digest }}"
    archive: "{{ certbound_release.archive }}"
"""

RETURN = r"""
directory:
  description: Where the release lies.
  type: path
  returned: success
wanting:
  description: Whether the archive is needed for going on.
  type: bool
  returned: success
"""

import os
import shutil
import subprocess
import sys
import tarfile
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.certbound.kit.plugins.module_utils.files import swap_symlink
from ansible_collections.certbound.kit.plugins.module_utils.releases import (
    COMPLETE,
    directory_of,
    is_installed,
    link_of,
    present_target,
    target_of,
)

_DIRECTORY = 0o755
# Half of all code, and for colours that no service prints.
_NEVER_IMPORTED = r"/pygments/(lexers|styles|formatters)/"
_MEMBERS = ("requirements.txt", "sbom.cdx.json", "release.json")


class NotInstalledError(Exception):
    """The release cannot be installed; the message says why."""


def install(directory: str, archive: str) -> None:
    """Install `archive` into `directory`; what is there of it goes first.

    Raises:
        NotInstalledError: the host's Python has no venv, or pip refused a wheel.
    """
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory, _DIRECTORY)
    try:
        wheels = os.path.join(directory, "wheels")
        _unpack(archive, directory, wheels)
        _run([sys.executable, "-m", "venv", "--without-pip", directory])
        _run_pip(directory, wheels)
        _compile(directory)
        shutil.rmtree(wheels)
        # This disk alone: others may have much to write that is none of ours.
        _run(["sync", "--file-system", directory])
        with open(os.path.join(directory, COMPLETE), "wb") as file:
            os.fsync(file.fileno())
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise


def _unpack(archive: str, directory: str, wheels: str) -> None:
    """Take out of the archive what belongs in it, by name, and nothing else."""
    os.mkdir(wheels)
    with tarfile.open(archive) as opened:
        for member in opened:
            folder, _, name = member.name.rpartition("/")
            if folder == "wheels" and name.endswith(".whl") and name == name.strip("."):
                place = os.path.join(wheels, name)
            elif member.name in _MEMBERS:
                place = os.path.join(directory, member.name)
            else:
                raise NotInstalledError(f"the archive holds {member.name!r}")
            content = opened.extractfile(member)
            if content is None:
                raise NotInstalledError(f"{member.name!r} in the archive is no file")
            with open(place, "wb") as file:
                shutil.copyfileobj(content, file)


def _run_pip(directory: str, wheels: str) -> None:
    """Install by a pip that is run from its own wheel, and not installed."""
    pip = [name for name in os.listdir(wheels) if name.startswith("pip-")]
    if len(pip) != 1:
        raise NotInstalledError("the archive holds no wheel of pip")
    _run(
        [
            os.path.join(directory, "bin", "python"),
            *("-I", os.path.join(wheels, pip[0], "pip")),
            *("install", "--quiet", "--isolated", "--no-cache-dir"),
            *("--disable-pip-version-check", "--no-index", "--find-links", wheels),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
            "--no-compile",
            *("-r", os.path.join(directory, "requirements.txt")),
        ]
    )


def _compile(directory: str) -> None:
    """Compile what services import: nobody but root may write here afterwards."""
    _run(
        [
            os.path.join(directory, "bin", "python"),
            *("-I", "-m", "compileall", "-q", "-x", _NEVER_IMPORTED),
            os.path.join(directory, "lib"),
        ]
    )


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode:
        said = done.stdout.strip().splitlines() or [f"exit {done.returncode}"]
        raise NotInstalledError("{}: {}".format(" ".join(command[:4]), said[-1]))


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "root": {"type": "path", "required": True},
            "digest": {"type": "str", "required": True},
            "archive": {"type": "path"},
            "switch": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    os.umask(0o022)
    params: dict[str, Any] = module.params
    directory = directory_of(params["root"], params["digest"])
    wanting = not is_installed(directory)
    current, target = link_of(params["root"]), target_of(params["digest"])
    present = present_target(params["root"])
    turn = present is None or (params["switch"] and present != target)
    answer = {
        "directory": directory,
        "wanting": wanting,
        "changed": wanting or turn,
        "diff": {
            "before": "",
            "after": (f"{directory}: installed\n" if wanting else "")
            + (f"{current}: {target}\n" if turn else ""),
        },
    }
    if module.check_mode or (wanting and not params["archive"]):
        module.exit_json(**answer)
    try:
        if wanting:
            install(directory, params["archive"])
        if turn:
            swap_symlink(current, target)
    except (NotInstalledError, OSError, tarfile.TarError) as error:
        module.fail_json(msg=f"release {params['digest']} is not installed: {error}")
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
