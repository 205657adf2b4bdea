"""The system users of a host's instances, and their directories."""

from __future__ import annotations

import os
import pwd
import subprocess
from typing import Any, Iterator

_PASSED_THROUGH = 0o755  # to sync a new entry, its parent must be opened
_OWNERS_ALONE = 0o700
_NO_LOGIN = "/usr/sbin/nologin"


class AccountError(Exception):
    """A user cannot be made; the message is the system's."""


def ensure(root: str, accounts: list[dict[str, Any]], *, check: bool) -> Iterator[str]:
    """Make what is missing; yield a line for each."""
    for account in accounts:
        for parent in _parents(root, account["directory"]):
            if not os.path.isdir(parent):
                yield f"{parent}: made"
                if not check:
                    os.mkdir(parent)
                    os.chmod(parent, _PASSED_THROUGH)
        yield from _ensure_user(account, check=check)
        yield from _ensure_directory(account, check=check)


def _parents(root: str, directory: str) -> list[str]:
    """Return `root` and what lies between it and `directory`, from above."""
    found = []
    parent = os.path.dirname(directory)
    while len(parent) >= len(root):
        found.append(parent)
        parent = os.path.dirname(parent)
    return found[::-1]


def _ensure_user(account: dict[str, Any], *, check: bool) -> Iterator[str]:
    if _user(account["name"]) is not None:
        return
    yield f"user {account['name']}: made"
    if check:
        return
    done = subprocess.run(
        [
            "/usr/sbin/useradd",
            *("--system", "--user-group", "--no-create-home", "--shell", _NO_LOGIN),
            *("--home-dir", account["directory"], account["name"]),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        raise AccountError(done.stdout.strip().splitlines()[-1])


def _ensure_directory(account: dict[str, Any], *, check: bool) -> Iterator[str]:
    user, directory = _user(account["name"]), account["directory"]
    if os.path.isdir(directory):
        found = os.lstat(directory)
        owned = user is not None and found.st_uid == user.pw_uid
        if owned and found.st_mode & 0o7777 == _OWNERS_ALONE:
            return
    yield f"{directory}: of {account['name']} alone"
    if check or user is None:
        return
    if not os.path.isdir(directory):
        os.mkdir(directory, _OWNERS_ALONE)
    os.chmod(directory, _OWNERS_ALONE)
    os.chown(directory, user.pw_uid, user.pw_gid)


def _user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
