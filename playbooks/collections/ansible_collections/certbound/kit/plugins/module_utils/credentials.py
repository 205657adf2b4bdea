"""Secrets that systemd hands to a unit: encrypted on the disk where it can do that.

systemd 250 and later encrypt with a key of the host, and with its TPM if it has one;
an earlier one loads a file that root alone may read. A process finds the secret in a
directory in memory, which exists while it runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

from .files import sync_directory

HANDED_OUT = "/run/credentials"
ENCRYPTED = "/etc/credstore.encrypted"
PLAIN = "/etc/credstore"
_OWNERS_ALONE = 0o600
_DIRECTORY_ALONE = 0o700


class CredentialError(Exception):
    """systemd does not take the secret; the message is its own."""


def can_encrypt() -> bool:
    """Return whether this host's systemd encrypts."""
    return shutil.which("systemd-creds") is not None


def stored_at(unit: str, name: str) -> str:
    """Return where the secret of a unit lies on the disk."""
    return os.path.join(ENCRYPTED if can_encrypt() else PLAIN, f"{unit}.{name}")


def wanted_by(unit: str, document: dict[str, Any]) -> list[str]:
    """Return the names of the secrets that a process's configuration looks for."""
    directory = f"{HANDED_OUT}/{unit}.service"
    return sorted(
        os.path.basename(value)
        for value in document.values()
        if isinstance(value, str) and os.path.dirname(value) == directory
    )


def directives(unit: str, document: dict[str, Any]) -> str:
    """Return the lines of the unit that have the secrets handed to it."""
    verb = "LoadCredentialEncrypted" if can_encrypt() else "LoadCredential"
    return "".join(
        f"{verb}={name}:{stored_at(unit, name)}\n" for name in wanted_by(unit, document)
    )


def loaded_by(text: str) -> list[str]:
    """Return the files that a unit's text has handed to it."""
    return [
        line.partition(":")[2]
        for line in text.splitlines()
        if line.startswith(("LoadCredential=", "LoadCredentialEncrypted="))
    ]


def holds(path: str, name: str, secret: str) -> bool:
    """Return whether the file at `path` holds `secret`, and its owner alone has it."""
    if not os.path.isfile(path) or os.lstat(path).st_mode & 0o777 != _OWNERS_ALONE:
        return False
    if not path.startswith(ENCRYPTED):
        with open(path, encoding="utf-8") as file:
            return file.read() == secret
    done = _systemd_creds("decrypt", f"--name={name}", path, "-")
    return done.returncode == 0 and done.stdout == secret.encode()


def store(path: str, name: str, secret: str) -> None:
    """Have the file at `path` hold `secret`, whatever moment this is killed at.

    Raises:
        CredentialError: systemd cannot encrypt it.
    """
    directory = os.path.dirname(path)
    os.makedirs(directory, mode=_DIRECTORY_ALONE, exist_ok=True)
    content = secret.encode()
    if path.startswith(ENCRYPTED):
        done = _systemd_creds("encrypt", f"--name={name}", "-", "-", given=content)
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise CredentialError(
                "systemd-creds encrypt: {}".format((said or ["?"])[-1])
            )
        content = done.stdout
    temporary = f"{path}.new"
    if os.path.exists(temporary):
        os.unlink(temporary)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(temporary, flags, _OWNERS_ALONE), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    sync_directory(directory)


def _systemd_creds(
    *arguments: str, given: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run it; the secret goes through pipes, never through an argument."""
    return subprocess.run(
        ["systemd-creds", *arguments], input=given, capture_output=True, check=False
    )
