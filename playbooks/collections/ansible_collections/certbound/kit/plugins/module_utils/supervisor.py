"""Talk to a supervisord of our own: its configuration and its XML-RPC.

The socket is a file that only we may open, so there is neither a port nor a password.
Only what differs is touched: this is supervisorctl's `update`, with answers a module
can report.
"""

from __future__ import annotations

import configparser
import http.client
import os
import shlex
import socket
import xmlrpc.client
from typing import Any, NamedTuple

# supervisor.states.ProcessStates
RUNNING = 20
FAILED = {30, 100, 200}  # back off, exited, fatal
STOPPED = {0, 100, 200}  # stopped, exited, fatal: nothing will start these but us
SUPERVISORD = ["-m", "supervisor.supervisord", "-c"]
_DO_NOT_WAIT = False  # all are waited for together


class SupervisorError(Exception):
    """supervisord did not do what it was asked."""


class Places(NamedTuple):
    """Where a supervisord's files lie, given the roll-out's root."""

    root: str

    @property
    def directories(self) -> list[str]:
        """All of them, which are their owner's alone."""
        return [os.path.join(self.root, name) for name in ("run", "log")]

    @property
    def configuration(self) -> str:
        """Its configuration."""
        return os.path.join(self.root, "run", "supervisord.conf")

    @property
    def socket(self) -> str:
        """Its socket."""
        return os.path.join(self.root, "run", "supervisor.sock")

    def log(self, name: str) -> str:
        """The log of one process."""
        return os.path.join(self.root, "log", name + ".log")


class Program(NamedTuple):
    """A program of supervisord's as it is now."""

    state: int
    pid: int  # 0 if it has no process


class Change(NamedTuple):
    """The programs that differ between two configurations."""

    added: set[str]
    changed: set[str]
    removed: set[str]


def configuration(
    places: Places, programs: list[dict[str, Any]], *, directory: str, release: str
) -> str:
    """Return what supervisord reads; `release` changes when the code does."""
    sections: dict[str, dict[str, str]] = {
        "unix_http_server": {"file": places.socket, "chmod": "0600"},
        "supervisord": {
            "logfile": places.log("supervisord"),
            "logfile_maxbytes": "1MB",
            "logfile_backups": "2",
            "pidfile": os.path.join(places.root, "run", "supervisord.pid"),
            "umask": "077",
        },
        "rpcinterface:supervisor": {
            "supervisor.rpcinterface_factory": (
                "supervisor.rpcinterface:make_main_rpcinterface"
            ),
        },
    }
    for program in programs:
        sections["program:" + program["name"]] = {
            "command": " ".join(shlex.quote(word) for word in program["command"]),
            "directory": directory,
            "environment": f'CERTBOUND_RELEASE="{release}"',
            "autorestart": "true",
            "startsecs": "1",
            "stopwaitsecs": "15",
            "redirect_stderr": "true",
            "stdout_logfile": places.log(program["name"]),
            "stdout_logfile_maxbytes": "5MB",
            "stdout_logfile_backups": "2",
        }
    lines = ["; Written by certbound.kit.supervised: changes made here are lost."]
    for name, options in sections.items():
        lines.append(f"\n[{name}]")
        # supervisord expands %(names)s in values.
        lines += ["{}={}".format(k, v.replace("%", "%%")) for k, v in options.items()]
    return "\n".join(lines) + "\n"


def compare(before: str, after: str) -> Change:
    """Return which programs `after` adds, changes and removes."""
    old, new = _programs(before), _programs(after)
    return Change(
        added=set(new) - set(old),
        changed={name for name in set(new) & set(old) if new[name] != old[name]},
        removed=set(old) - set(new),
    )


def _programs(text: str) -> dict[str, dict[str, str]]:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {
        section.partition(":")[2]: dict(parser[section])
        for section in parser.sections()
        if section.startswith("program:")
    }


class Supervisor:
    """A running supervisord, by its socket; each question is a connection."""

    def __init__(self, path: str) -> None:
        """Prepare to speak to the socket at `path`; nothing is opened yet."""
        self._path = path

    def alive(self) -> bool:
        """Return whether somebody answers."""
        try:
            self._ask("getPID")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def difference(self) -> Change:
        """Have it read its configuration; return what differs from what it runs."""
        try:
            added, changed, removed = self._ask("reloadConfig")[0]
        except xmlrpc.client.Fault as fault:
            raise SupervisorError(f"supervisord: {fault.faultString}") from None
        return Change(set(added), set(changed), set(removed))

    def update(self) -> Change:
        """Have it read its configuration, and act on what differs from what it runs."""
        change = self.difference()
        try:
            for name in [*change.removed, *change.changed]:
                self._ask("stopProcessGroup", name)
                self._ask("removeProcessGroup", name)
            for name in [*change.changed, *change.added]:
                self._ask("addProcessGroup", name)
        except xmlrpc.client.Fault as fault:
            raise SupervisorError(f"supervisord: {fault.faultString}") from None
        return change

    def start_stopped(self) -> list[str]:
        """Start what stands still; return the names."""
        names = [n for n, p in self.programs().items() if p.state in STOPPED]
        for name in names:
            self._ask("startProcess", name, _DO_NOT_WAIT)
        return names

    def programs(self) -> dict[str, Program]:
        """Return each program by its name."""
        return {
            info["name"]: Program(info["state"], info["pid"])
            for info in self._ask("getAllProcessInfo")
        }

    def shutdown(self) -> None:
        """Have it stop all programs and end."""
        self._ask("shutdown")

    def _ask(self, method: str, *arguments: object) -> Any:
        transport = _UnixTransport(self._path)
        with xmlrpc.client.ServerProxy("http://localhost", transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        self._connection = host, connection  # what `close` closes
        return connection
