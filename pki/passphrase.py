"""Passphrases from a file descriptor or a hidden prompt, and from nowhere else.

Arguments show in the list of processes and the environment is inherited by every
child, so neither is offered. Only the commands come here.
"""

import getpass
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

from pki.errors import PkiError

_LONGEST = 4096  # bytes
_TERMINAL = Path("/dev/tty")


class PassphraseError(PkiError):
    """No passphrase can be read."""

    code = "no_passphrase"


def reader(purpose: str, descriptor: int | None) -> Callable[[], bytes]:
    """Return what reads the passphrase of the `purpose` key when it is first called.

    Several keys may be sealed with it, and a pipe is read once.
    """

    @cache
    def read() -> bytes:
        if descriptor is not None:
            return _from_descriptor(purpose, descriptor)
        return _from_terminal(purpose)

    return read


def _from_descriptor(purpose: str, descriptor: int) -> bytes:
    """Return everything up to the end, without the line's end that editors add."""
    try:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            text = file.read(_LONGEST + 1)
    except OSError as error:
        raise PassphraseError(
            f"no {purpose} passphrase on file descriptor {descriptor}: {error.strerror}"
        ) from error
    if len(text) > _LONGEST:
        raise PassphraseError(f"the {purpose} passphrase exceeds {_LONGEST} bytes")
    text = text.removesuffix(b"\n").removesuffix(b"\r")
    if not text:
        raise PassphraseError(f"the {purpose} passphrase is empty")
    return text


def _from_terminal(purpose: str) -> bytes:
    # getpass falls back to standard input, which holds the command's document.
    try:
        _TERMINAL.open("rb").close()
    except OSError as error:
        raise PassphraseError(
            f"no terminal to ask for the {purpose} passphrase: "
            f"pass it with --{purpose}-passphrase-fd"
        ) from error
    text = getpass.getpass(f"Passphrase of the {purpose} key: ")
    if not text:
        raise PassphraseError(f"the {purpose} passphrase is empty")
    return text.encode()
