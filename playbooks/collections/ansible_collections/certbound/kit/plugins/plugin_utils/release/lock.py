"""Read a lock file, and choose from it what one kind of host needs.

pip evaluates the conditions of a requirement for the interpreter it runs under, also
when it downloads for another one; here they are evaluated for the host's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from pathlib import Path

_TARGET = re.compile(r"cp3(?P<minor>[0-9]{1,2})-(?P<machine>x86_64|aarch64)")
_HASH = re.compile(r"--hash=(\S+)")
# A patch release that is not known may be the first or one of the last.
_PATCHES = (0, 99)
INSTALLER = "pip"


class ReleaseError(Exception):
    """A release cannot be made; the message is one sentence for the person."""


@dataclass(frozen=True)
class Target:
    """A kind of host: its Python and its machine."""

    minor: int
    machine: str

    @classmethod
    def parse(cls, name: str) -> Target:
        """Return what `cp311-x86_64` means.

        Raises:
            ReleaseError: it means nothing.
        """
        found = _TARGET.fullmatch(name)
        if not found:
            raise ReleaseError(f"{name!r} is no target such as cp311-x86_64")
        return cls(int(found["minor"]), found["machine"])

    @property
    def name(self) -> str:
        """The name it is known by."""
        return f"cp3{self.minor}-{self.machine}"

    @property
    def pip_options(self) -> list[str]:
        """What pip must be told to download for it; glibc 2.28 is ten years old."""
        platforms = [
            f"{tag}_{self.machine}"
            for tag in ("manylinux_2_28", "manylinux_2_17", "manylinux2014")
        ]
        abis = [f"cp3{self.minor}", "abi3", "none"]
        return [
            *("--python-version", f"3.{self.minor}", "--implementation", "cp"),
            *(word for tag in platforms for word in ("--platform", tag)),
            *(word for abi in abis for word in ("--abi", abi)),
        ]

    def wants(self, requirement: Requirement) -> bool:
        """Return whether a requirement with a condition is for this target."""
        if requirement.marker is None:
            return True
        return any(
            requirement.marker.evaluate(
                {
                    "implementation_name": "cpython",
                    "os_name": "posix",
                    "platform_machine": self.machine,
                    "platform_python_implementation": "CPython",
                    "platform_system": "Linux",
                    "python_full_version": f"3.{self.minor}.{patch}",
                    "python_version": f"3.{self.minor}",
                    "sys_platform": "linux",
                }
            )
            for patch in _PATCHES
        )


@dataclass(frozen=True)
class Pinned:
    """One package of a lock file."""

    name: str
    version: str
    hashes: tuple[str, ...]  # sha256:...

    @property
    def line(self) -> str:
        """What a requirements file says of it."""
        hashes = "".join(f" --hash={one}" for one in self.hashes)
        return f"{self.name}=={self.version}{hashes}"


def read_lock(path: Path, target: Target) -> list[Pinned]:
    """Return the packages of a lock file that `target` needs.

    Raises:
        ReleaseError: there is no such file, or a line in it is no pin with hashes.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ReleaseError(f"{path}: {error.strerror}") from None
    pinned = []
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        hashes = tuple(_HASH.findall(line))
        requirement = Requirement(_HASH.sub("", line).strip())
        versions = [one.version for one in requirement.specifier]
        if not hashes or len(versions) != 1:
            raise ReleaseError(f"{path}: {requirement}: expected a version with hashes")
        if target.wants(requirement):
            pinned.append(Pinned(requirement.name, versions[0], hashes))
    return pinned
