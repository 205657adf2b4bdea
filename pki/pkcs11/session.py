"""A token, and this process logged in to it.

PKCS#11 logs a process in, not a session: who has logged in once need not again, and
may not. The sessions stay open until the process ends; one that died with its token is
opened anew, with the PIN.
"""

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pkcs11

from pki.pkcs11.place import Place, TokenError

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NoTokenError(TokenError):
    """The token, or the module that leads to it, is not there."""

    code = "token_gone"


class WrongPinError(TokenError):
    """The token refuses the PIN."""

    code = "wrong_pin"


class LockedTokenError(TokenError):
    """The token takes no PIN any more."""

    code = "token_locked"


_sessions: dict[tuple[Path, str, bool], Any] = {}


def session_of(token: Any, place: Place, pin: bytes, *, writing: bool) -> Any:
    """Return a session of `token` that is logged in.

    Raises:
        PKCS11Error: the token refuses.
    """
    known = (place.module, serial_of(token), writing)
    session = _sessions.get(known)
    if session is not None:
        with contextlib.suppress(pkcs11.PKCS11Error):
            session.generate_random(8)  # whether it still lives
            return session
    try:
        session = token.open(rw=writing, user_pin=_text(pin))
    except pkcs11.UserAlreadyLoggedIn:
        session = token.open(rw=writing)
    _sessions[known] = session
    return session


def token_at(place: Place) -> Any:
    """Return the one token that `place` names.

    Raises:
        NoTokenError: there is none, or more than one.
    """
    try:
        mode = place.module.stat().st_mode
        if not place.module.is_absolute() or mode & _OTHERS_WRITE:
            raise NoTokenError(
                f"{place.module} is no absolute path, or others may write the file"
            )
        library = pkcs11.lib(str(place.module))
        found = list(library.get_tokens(token_label=place.label))
    except (OSError, RuntimeError) as error:
        raise NoTokenError(f"{place.module} cannot be used: {error}") from error
    wanted = [one for one in found if place.serial in {None, serial_of(one)}]
    if len(wanted) != 1:
        raise NoTokenError(
            f"{len(wanted)} tokens are labelled {place.label!r}"
            + (f" with the serial {place.serial}" if place.serial else "")
            + ", one is needed"
        )
    return wanted[0]


def serial_of(token: Any) -> str:
    """Return the serial as the token says it, in printable form."""
    serial = token.serial
    return (serial if isinstance(serial, bytes) else serial.encode()).decode(
        "ascii", "backslashreplace"
    )


def _text(pin: bytes) -> str:
    try:
        return pin.decode()
    except UnicodeDecodeError as error:
        raise WrongPinError("the PIN is not UTF-8") from error


@contextlib.contextmanager
def said_plainly() -> Iterator[None]:
    """Turn what the token says into errors of ours; how many tries are left is kept."""
    try:
        yield
    except pkcs11.PKCS11Error as error:
        raise explained(error) from error


def explained(error: pkcs11.PKCS11Error) -> TokenError:
    """Return the error of ours for one of the library's."""
    name = type(error).__name__
    if isinstance(error, pkcs11.PinLocked):
        return LockedTokenError("the token is locked: its security officer resets it")
    if isinstance(
        error,
        pkcs11.PinIncorrect
        | pkcs11.PinInvalid
        | pkcs11.PinLenRange
        | pkcs11.PinExpired,
    ):
        return WrongPinError("the token refuses the PIN")
    if isinstance(
        error,
        pkcs11.DeviceRemoved
        | pkcs11.TokenNotPresent
        | pkcs11.SessionHandleInvalid
        | pkcs11.SessionClosed
        | pkcs11.NoSuchToken,
    ):
        return NoTokenError(f"the token is gone: {name}")
    return TokenError(f"the token answered {name} {error}".rstrip())
