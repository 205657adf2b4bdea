"""One machine: what makes it itself, its disk, and its power switch.

`machine.sh` is what runs it. Everything the machine is made of lies in one directory:

    layer/       read-only for it: name, machine-id, SSH host key, who may log in
    disk.img     its ext4, or disk/ if it has none of its own; kept over reboots
    console.log  what systemd said while it booted
"""

import fcntl
import os
import struct
import subprocess
import uuid
from pathlib import Path

from tests.lab import command, group
from tests.lab.errors import LabError
from tests.lab.fleet import Fleet, Host
from tests.lab.patience import until
from tests.lab.places import HERE, Places

_PATIENCE = 10.0  # seconds
_CONSOLE_LINES = 12
# linux/fs/ext4: stop at once, and do not write the journal.
_EXT4_IOC_SHUTDOWN = 0x8004587D
_EXT4_GOING_FLAGS_NOLOGFLUSH = 2


class Machine:
    """One host of a lab."""

    def __init__(self, places: Places, fleet: Fleet, host: Host, base: Path) -> None:
        self.host = host
        self.home = places.host(host.name)
        self.group = group.of_lab(places.name) / host.name
        self._places = places
        self._fleet = fleet
        self._base = base

    @property
    def public_key(self) -> str:
        """Return the SSH key by which this host is known."""
        return (self._ssh / "ssh_host_ed25519_key.pub").read_text().strip()

    @property
    def _ssh(self) -> Path:
        return self.home / "layer/etc/ssh"

    @property
    def _image(self) -> Path:
        return self.home / "disk.img"

    @property
    def _end_note(self) -> Path:
        return self.home / "ended"

    def ended(self) -> bool:
        """Return whether the machine has come to an end by itself."""
        return self._end_note.exists()

    def create(self) -> None:
        """Make the machine's layer and its empty disk."""
        etc = self.home / "layer/etc"
        (self._ssh / "authorized_keys").mkdir(parents=True)
        (etc / "hostname").write_text(f"{self.host.name}\n")
        (etc / "hosts").write_text(self._fleet.hosts_file())
        (etc / "resolv.conf").write_text("# the lab has no DNS\n")
        (etc / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
        key = str(self._ssh / "ssh_host_ed25519_key")
        comment = self.host.name
        command.run(
            "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", key
        )
        allowed = self._places.key.with_suffix(".pub").read_text()
        (self._ssh / "authorized_keys/deploy").write_text(allowed)
        if self.host.disk:
            command.run("truncate", f"--size={self.host.disk}", str(self._image))
            command.run("mkfs.ext4", "-q", "-m0", str(self._image))
        else:
            (self.home / "disk").mkdir()

    def start(self) -> None:
        """Switch the power on; the machine boots from the disk it has.

        Raises:
            LabError: it is on.
        """
        if group.alive(self.group):
            raise LabError(f"{self.host.name} is running")
        group.create(self.group)
        self._end_note.unlink(missing_ok=True)
        with (self.home / "console.log").open("ab") as console:
            subprocess.run(
                [
                    # Forked off, so that the host outlives whoever started it.
                    *("setsid", "--fork"),
                    *("unshare", "--mount", "--net", "--propagation", "slave"),
                    str(HERE / "machine.sh"),
                    self._places.name,
                    self.host.name,
                    f"{self.host.address}/{self._fleet.network.prefixlen}",
                    str(self.group),
                    str(self.home),
                    str(self._base),
                ],
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                check=True,
                cwd="/",
                env=command.ENVIRONMENT,
            )

    def cut(self) -> None:
        """Cut the power: whatever was not synced to the machine's own disk is lost."""
        self._freeze_disk()
        self.end()

    def end(self) -> None:
        """End all of the machine's processes, and wait until its disk is free."""
        group.end(self.group)
        until(
            lambda: not command.run("losetup", "--associated", str(self._image)),
            _PATIENCE,
            f"{self._image} is still mounted",
        )

    def console(self) -> str:
        """Return the last lines of the machine's console."""
        try:
            text = (self.home / "console.log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-_CONSOLE_LINES:])

    def _freeze_disk(self) -> None:
        supervisor = group.supervisor(self.group)
        if supervisor is None or not self._image.exists():
            return
        # Its mounts are its own; this is the way to them.
        disk = os.open(f"/proc/{supervisor}/root/run/disk", os.O_RDONLY)
        try:
            how = struct.pack("I", _EXT4_GOING_FLAGS_NOLOGFLUSH)
            fcntl.ioctl(disk, _EXT4_IOC_SHUTDOWN, how)
        finally:
            os.close(disk)
