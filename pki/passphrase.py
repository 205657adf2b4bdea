"""Passphrases from a descriptor, a prompt, a file or systemd, and from nowhere else.

Arguments show in the list of processes and the environment is inherited by every
child, so neither is offered. The commands come here, and the CA's front.
"""

import getpass
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import BinaryIO

from pki.errors import PkiError
from pki.storage import check_private

_LONGEST = 4096  # bytes
_TERMINAL = Path("/dev/tty")


class PassphraseError(PkiError):
    """No passphrase can be read."""

    code = "no_passphrase"


def reader(
    purpose: str, descriptor: int | None, *, whose: str = "", twice: bool = False
) -> Callable[[], bytes]:
    """Return what reads the passphrase of the `purpose` key when it is first called.

    Without a descriptor it is the credential `<purpose>-passphrase` that systemd has
    handed to this unit, and without one a hidden prompt. Several keys may be sealed
    with it, and a pipe is read once. The prompt says `whose` it is, and asks `twice`
    for one that seals a new key.
    """

    @cache
    def read() -> bytes:
        if descriptor is not None:
            return _from_descriptor(purpose, descriptor)
        handed = _credentials()
        if handed and (credential := handed / f"{purpose}-passphrase").exists():
            return from_file(purpose, credential)
        prompt = f"Passphrase of {whose or f'the {purpose} key'}: "
        text = _from_terminal(purpose, prompt)
        if twice and text != _from_terminal(purpose, f"Again: {prompt}"):
            raise PassphraseError(f"the {purpose} passphrase was typed in two ways")
        return text

    return read


def from_file(purpose: str, path: Path) -> bytes:
    """Return what a private file holds, such as one that systemd hands to a unit.

    Raises:
        InsecurePermissionsError: other users may use it.
        PassphraseError: it cannot be read, or holds no passphrase.
    """
    # systemd lets the unit's user alone into the directory, by an access control list
    # that shows as a right of the group.
    if path.parent != _credentials():
        check_private(path)
    try:
        with path.open("rb") as file:
            return _passphrase(purpose, file)
    except OSError as error:
        raise PassphraseError(
            f"no {purpose} passphrase in {path}: {error.strerror}"
        ) from error


def _credentials() -> Path | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(directory) if directory else None


def _from_descriptor(purpose: str, descriptor: int) -> bytes:
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return _passphrase(purpose, file)
    except OSError as error:
        raise PassphraseError(
            f"no {purpose} passphrase on file descriptor {descriptor}: {error.strerror}"
        ) from error


def _passphrase(purpose: str, file: BinaryIO) -> bytes:
    """Return everything up to the end, without the line's end that editors add."""
    text = file.read(_LONGEST + 1)
    if len(text) > _LONGEST:
        raise PassphraseError(f"the {purpose} passphrase exceeds {_LONGEST} bytes")
    text = text.removesuffix(b"\n").removesuffix(b"\r")
    if not text:
        raise PassphraseError(f"the {purpose} passphrase is empty")
    return text


def _from_terminal(purpose: str, prompt: str) -> bytes:
    # getpass falls back to standard input, which holds the command's document.
    try:
        _TERMINAL.open("rb").close()
    except OSError as error:
        raise PassphraseError(
            f"no terminal to ask for the {purpose} passphrase: "
            f"pass it with --{purpose}-passphrase-fd"
        ) from error
    text = getpass.getpass(prompt)
    if not text:
        raise PassphraseError(f"the {purpose} passphrase is empty")
    return text.encode()
