"""Bring systemd from one set of units to another, touching only what differs."""

from __future__ import annotations

import os
import subprocess
from typing import Any, Iterable, NamedTuple

from .files import sync_directory
from .units import DIRECTORY, present_units, units_of

_READABLE = 0o644
_LONGEST_LINE = 600  # characters


class SystemdError(Exception):
    """systemd did not do what it was asked; the message says what it said."""


class Change(NamedTuple):
    """The units that a host has and should have, and what of it differs."""

    before: dict[str, str]  # texts by file name
    wanted: dict[str, str]
    touched: set[str]  # missing, other, not running, or not started at boot
    gone: set[str]


def change_to(processes: list[dict[str, Any]], release: str) -> Change:
    """Return what differs from exactly these processes, run by a release."""
    before = present_units()
    wanted: dict[str, str] = {}
    for process in processes:
        wanted.update(units_of(process, release))
    touched = {name for name in wanted if before.get(name) != wanted[name]}
    touched |= set(idle(set(wanted) - touched))
    there = set(wanted) & set(before)
    touched |= there - set(enabled(there))
    return Change(before, wanted, touched, gone=set(before) - set(wanted))


def apply(before: dict[str, str], wanted: dict[str, str]) -> None:
    """Have the units of `wanted` and no others of ours, enabled and running.

    Services that are up and whose units did not change go on undisturbed.

    Raises:
        SystemdError: one of them did not start; the message ends with its last words.
    """
    gone = sorted(set(before) - set(wanted))
    changed = {name for name in wanted if before.get(name) != wanted[name]}
    if gone:
        systemctl("disable", "--quiet", "--now", *gone)
    for name in gone:
        os.unlink(os.path.join(DIRECTORY, name))
    for name in changed:
        _write(os.path.join(DIRECTORY, name), wanted[name])
    if gone or changed:
        systemctl("daemon-reload")
    fresh = [name for name in wanted if name not in enabled(wanted)]
    if fresh:
        systemctl("enable", "--quiet", *sorted(fresh))
    _run(changed, wanted)


def _run(changed: set[str], wanted: dict[str, str]) -> None:
    sockets = {name for name in wanted if name.endswith(".socket")}
    moved = sockets & changed
    # A socket cannot move while its service holds it.
    services = {name.replace(".socket", ".service") for name in moved}
    if moved:
        systemctl("stop", "--quiet", *sorted(services | moved))
    silent = set(idle(wanted))
    if silent:
        systemctl("reset-failed", *sorted(silent), may_fail=True)
    start = sorted(silent & sockets)
    if start:
        systemctl("start", *start)
    restart = sorted((silent | changed | services) - sockets)
    if restart:
        _restart(restart)


def _restart(names: list[str]) -> None:
    try:
        systemctl("restart", *names)
    except SystemdError as error:
        failed = idle(names)
        if not failed:
            raise
        raise SystemdError(
            f"{failed[0]} did not start; its last words: {last_words(failed[0])}"
        ) from error


def stop(names: Iterable[str]) -> None:
    """Stop units and have them stay so over a reboot; sockets first of all."""
    ordered = sorted(names, reverse=True)  # .socket before .service
    if ordered:
        systemctl("disable", "--quiet", "--now", *ordered)
        systemctl("reset-failed", *ordered, may_fail=True)


def remove(names: Iterable[str]) -> None:
    """Stop units, and remove them."""
    gone = sorted(names)
    stop(gone)
    for name in gone:
        os.unlink(os.path.join(DIRECTORY, name))
    if gone:
        systemctl("daemon-reload")


def idle(names: Iterable[str]) -> list[str]:
    """Return which of the units do not run."""
    asked = sorted(names)
    if not asked:
        return []
    states = systemctl("is-active", *asked, may_fail=True).split()
    return [
        n for n, state in zip(asked, states) if state not in {"active", "reloading"}
    ]


def enabled(names: Iterable[str]) -> list[str]:
    """Return which of the units start at boot."""
    asked = sorted(names)
    if not asked:
        return []
    states = systemctl("is-enabled", *asked, may_fail=True).split()
    if len(states) != len(asked):  # some are not there at all, and said so elsewhere
        return []
    return [name for name, state in zip(asked, states) if state == "enabled"]


def last_words(unit: str) -> str:
    """Return the last line that a unit has left in the journal."""
    said = subprocess.run(
        ["journalctl", "--quiet", "--no-pager", "-o", "cat", "-n", "20", "-u", unit],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        check=False,
    ).stdout.splitlines()
    own = [line for line in said if line.startswith(("{", "certbound:"))]
    return (own or said or ["none"])[-1][:_LONGEST_LINE]


def systemctl(*arguments: str, may_fail: bool = False) -> str:
    """Run systemctl and return what it said.

    Raises:
        SystemdError: it failed, and may not.
    """
    done = subprocess.run(
        ["systemctl", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode and not may_fail:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SystemdError("systemctl {}: {}".format(arguments[0], (said or ["?"])[0]))
    return done.stdout


def _write(path: str, text: str) -> None:
    temporary = path + ".new"
    with open(temporary, "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), _READABLE)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(os.path.dirname(path))
