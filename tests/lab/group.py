"""Control groups: all processes of a lab, or of one host, known and ended as one.

Ending a host by its group is the power cut: each of its processes gets SIGKILL at the
same moment, and none that has forked meanwhile is missed. It also means that nobody
has to remember process numbers, which the kernel gives to others.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from tests.lab.errors import LabError
from tests.lab.patience import until

_MOUNTS = Path("/proc/self/mounts")
_PATIENCE = 20.0  # seconds; the dying may have a disk to write


def hierarchy() -> Path | None:
    """Return where the unified hierarchy is mounted, if it is."""
    return next(_mounted("cgroup2"), None)


def _mounted(wanted: str, option: str = "") -> Iterator[Path]:
    for line in _MOUNTS.read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == wanted and (not option or option in options.split(",")):
            yield Path(place)


def of_lab(lab: str) -> Path:
    """Return the group of a lab, which need not exist.

    It stands at the top, not below the group of whoever boots the lab: the hosts
    outlive that session.
    """
    root = hierarchy()
    if root is None:
        raise LabError("no unified control group hierarchy is mounted")
    return root / lab


def create(group: Path) -> None:
    """Make a host's group, with one for its supervisor and one for its machine."""
    group.mkdir(parents=True, exist_ok=True)
    # Controllers are passed on where this hierarchy has them (for MemoryMax= and such).
    for above in (group.parent, group):
        offered = (above / "cgroup.controllers").read_text().split()
        passed_on = " ".join(f"+{controller}" for controller in offered)
        (above / "cgroup.subtree_control").write_text(passed_on)
    for inner in ("shell", "machine"):
        (group / inner).mkdir(exist_ok=True)


def supervisor(group: Path) -> int | None:
    """Return the process that holds a host's mounts and network, if it runs."""
    try:
        listed = (group / "shell" / "cgroup.procs").read_text().split()
    except OSError:
        return None
    return int(listed[0]) if listed else None


def alive(group: Path) -> bool:
    """Return whether any process is in the group or below it."""
    try:
        return "populated 1" in (group / "cgroup.events").read_text()
    except OSError:
        return False


def end(group: Path) -> None:
    """Kill all processes of a group at once, and remove it.

    Raises:
        LabError: some are still there, so nothing that they use may be removed.
    """
    if group.exists():
        (group / "cgroup.kill").write_text("1")
        until(lambda: not alive(group), _PATIENCE, f"{group.name} does not end")
    root = hierarchy()
    if root is None:
        return
    # Where older hierarchies are mounted as well, nspawn makes groups there, too.
    for place in (root, *_mounted("cgroup", "name=systemd")):
        for directory, _, _ in os.walk(place / group.relative_to(root), topdown=False):
            _remove(directory)


def _remove(directory: str) -> None:
    until(lambda: _removed(directory), _PATIENCE, f"{directory} is in use")


def _removed(directory: str) -> bool:
    try:
        os.rmdir(directory)  # noqa: PTH106
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
