"""What goes wrong on one host: its disk is full, its clock is wrong.

A host off the network is `Network.unplug`, one without power `Machine.cut`.
"""

import re
import shlex
from collections.abc import Sequence

from tests.lab.errors import LabError
from tests.lab.places import HERE
from tests.lab.ssh import Ssh

_FILLER = "/var/lib/lab-filler"
_OFFSET = re.compile(r"[+-]?[0-9]+[smhd]?")
_CLOCK = HERE / "clock.sh"


def fill_disk(ssh: Ssh, host: str) -> None:
    """Leave no byte free on a host's disk."""
    # One large bite, of which nothing needs to be written; then what is left, down to
    # the last block, which ends in ENOSPC.
    ssh.run(
        host,
        "free=$(df --output=avail -B1 /var/lib | tail -1);"
        f"sudo fallocate --length $free {_FILLER};"
        f"sudo dd if=/dev/zero of={_FILLER}.rest bs=1k conv=fsync 2>/dev/null;"
        "true",
    )


def empty_disk(ssh: Ssh, host: str) -> None:
    """Give the space back."""
    ssh.run(host, f"sudo rm -f {_FILLER} {_FILLER}.rest")


def skew_clock(ssh: Ssh, host: str, offset: str, units: Sequence[str] = ()) -> None:
    """Make a host's clock wrong for SSH sessions and for the units named.

    `offset` is such as `+1h` or `-90m`; `0` makes all right again. A unit may be a
    prefix (`certbound-.service` stands for all whose name begins so). What runs is
    restarted.

    Raises:
        LabError: `offset` is no offset.
    """
    if not _OFFSET.fullmatch(offset):
        raise LabError(f"{offset!r} is no offset such as +1h, -90m or 0")
    # Ansible's open connections would keep the environment they were made with.
    ssh.hang_up()
    arguments = shlex.join([offset, *units])
    ssh.run(host, f"sudo sh -s -- {arguments}", stdin=_CLOCK.read_text())
