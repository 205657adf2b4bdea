"""The passphrases of the CA's keys, which stay on the controller.

Each is a file, plain or encrypted by Ansible Vault. It is read for the one task that
needs it, and travels to the CA's host inside the connection, into a pipe.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

ROOT, ISSUING = "root_passphrase", "issuing_passphrase"
_FILES_ALONE = 0o600
_DIRECTORY_ALONE = 0o700


class PassphraseError(Exception):
    """A passphrase cannot be had; the message says what to do."""


def read(file: str, loader: Any) -> str:
    """Return what a file holds, decrypted where Ansible Vault has encrypted it.

    Raises:
        PassphraseError: there is no such file, or it is empty.
    """
    if not os.path.exists(file):  # noqa: PTH110 -- text in, text out
        raise PassphraseError(
            f"{file} is missing, which holds a passphrase: restore it"
        )
    text = str(loader.get_text_file_contents(file)).strip()
    if not text:
        raise PassphraseError(f"{file} is empty, and should hold a passphrase")
    return text


def ensure(file: str, *, sealed: bool) -> None:
    """Have a passphrase in a file; make one if there is none and no key needs it.

    Raises:
        PassphraseError: it is missing, and a key has been sealed with it already.
    """
    path = Path(file)
    if path.exists():
        return
    if sealed:
        raise PassphraseError(
            f"{file} is missing, which alone opens a key of the CA: restore it, "
            "or move the CA's directory away to begin with a new one"
        )
    for directory in reversed(path.parents):
        if not directory.exists():
            directory.mkdir(mode=_DIRECTORY_ALONE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILES_ALONE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(secrets.token_urlsafe(32) + "\n")
        opened.flush()
        os.fsync(opened.fileno())
