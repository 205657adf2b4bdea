"""Which processes of this host are ours, and who holds a port.

Read from /proc, or from `ps` and `lsof` where there is none. A process is ours if it is
a Python that runs our module on a file of our own directory; an editor or a pager that
has such a file open is not, and is never signalled. A zombie has no command line and
counts as gone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import Iterator, NamedTuple

_LISTENING = "0A"  # the state's number in /proc/net/tcp
_POLL = 0.05  # seconds


class Process(NamedTuple):
    """A process as others see it."""

    pid: int
    arguments: list[str]

    @property
    def name(self) -> str:
        """Its program, without the directory."""
        return os.path.basename(self.arguments[0]) if self.arguments else "?"


class Ours(NamedTuple):
    """The processes of one roll-out: `python ARGUMENTS PATH`, PATH below its root."""

    root: str
    runs: list[list[str]]  # the arguments between the interpreter and the path

    def find(self) -> list[Process]:
        """Return those that are there now."""
        inside = self.root.rstrip("/") + "/"
        return [
            process
            for process in _all_processes()
            if process.arguments[1:-1] in self.runs
            and process.arguments[-1].startswith(inside)
        ]

    def wait_gone(self, seconds: float) -> list[Process]:
        """Wait until there are none; return those that stay."""
        deadline = time.monotonic() + seconds
        while True:
            left = self.find()
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(_POLL)

    def stop(self, seconds: float) -> list[Process]:
        """Ask them to end, then make them; return those that stay all the same."""
        left = self.find()
        for wanted, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
            if not left:
                break
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, wanted)
            left = self.wait_gone(patience)
        return left


def bind_fault(address: str, port: int) -> OSError | None:
    """Return why no process could listen there, or None if one could."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            # Another may be bound to all addresses and not to this one: only to
            # listen shows that.
            probe.listen(1)
        except OSError as error:
            return error
    return None


def is_listening(address: str, port: int) -> bool:
    """Return whether somebody listens on `port`, without troubling them if possible."""
    if os.path.isdir("/proc/net"):
        return any(_listening_inodes(port))
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def holder_of(port: int) -> Process | None:
    """Return the process that listens on `port`, if this user may know it."""
    if os.path.isdir("/proc/net"):
        return _holder_in_proc(port)
    said = _said(["lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"]).split()
    return next((p for p in _all_processes() if str(p.pid) in said), None)


def _holder_in_proc(port: int) -> Process | None:
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in _all_processes():
        if not sockets.isdisjoint(_open_files(process.pid)):
            return process
    return None


def _open_files(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/fd"
    try:
        numbers = os.listdir(directory)
    except OSError:  # another user's, or gone meanwhile
        return
    for number in numbers:
        with suppress(OSError):  # closed meanwhile; the others are still there
            yield os.readlink(os.path.join(directory, number))


def _listening_inodes(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table, encoding="ascii") as rows:
                fields = [row.split() for row in rows][1:]
        except OSError:
            continue
        for field in fields:
            if field[3] == _LISTENING and int(field[1].rpartition(":")[2], 16) == port:
                yield field[9]


def _all_processes() -> Iterator[Process]:
    if not os.path.isdir("/proc/self"):
        for line in _said(["ps", "-A", "-o", "pid=,args="]).splitlines():
            pid, *arguments = line.split()
            yield Process(int(pid), arguments)
        return
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                line = os.fsdecode(file.read())
        except OSError:
            continue
        if line:
            yield Process(int(name), line.rstrip("\0").split("\0"))


def _said(command: list[str]) -> str:
    try:
        return subprocess.run(
            command, stdout=subprocess.PIPE, encoding="utf-8", check=False
        ).stdout
    except FileNotFoundError:
        return ""
