"""Which processes of this host are ours, and who holds a port.

Read from /proc, or from `ps` and `lsof` where there is none. A process is ours if its
command line names a file under our own directory, so that nothing else is ever
signalled. A zombie has no command line and counts as gone.
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


def processes_naming(prefix: str) -> list[Process]:
    """Return the processes with an argument that is a path under `prefix`."""
    inside = prefix.rstrip("/") + "/"
    return [
        process
        for process in _all_processes()
        if process.pid != os.getpid()
        and any(argument.startswith(inside) for argument in process.arguments)
    ]


def stop(processes: list[Process], prefix: str, seconds: float) -> list[Process]:
    """Ask the processes to end, then make them; return those that are still there."""
    for wanted, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        pids = {process.pid for process in processes}
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, wanted)
        processes = wait_gone(prefix, patience)
        if not processes:
            break
    return processes


def wait_gone(prefix: str, seconds: float) -> list[Process]:
    """Wait until no process names a path under `prefix`; return who still does."""
    deadline = time.monotonic() + seconds
    while True:
        left = processes_naming(prefix)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_POLL)


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


def holder_of(port: int) -> Process | None:
    """Return the process that listens on `port`, if this user may know it."""
    if os.path.isdir("/proc/net"):
        return _holder_in_proc(port)
    said = _said(["lsof", "-nP", "-t", f"-iTCP:{port}", "-sTCP:LISTEN"]).split()
    return next((p for p in _all_processes() if str(p.pid) in said), None)


def _holder_in_proc(port: int) -> Process | None:
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in _all_processes():
        directory = f"/proc/{process.pid}/fd"
        try:
            for number in os.listdir(directory):
                if os.readlink(os.path.join(directory, number)) in sockets:
                    return process
        except OSError:  # another user's, or gone meanwhile
            continue
    return None


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
