"""The password of a store, read from a file so that no document holds it.

Called by `state.open` when a process starts; a new password takes a restart.
"""

import stat
from pathlib import Path

from services.errors import ServiceError

_PERMITTED_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class StatePasswordError(ServiceError):
    """The file cannot be used; the message tells nothing of what is in it."""


def read_password(path: Path) -> str:
    """Return the password in the file at `path`, without the line's end.

    Raises:
        StatePasswordError: it cannot be read, its mode grants anything to group or
            others, or there is no single line of text in it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise StatePasswordError(f"{path}: {type(error).__name__}") from None
    if mode & _PERMITTED_TO_OTHERS:
        raise StatePasswordError(f"{path}: mode {mode:04o}, 0600 is needed")
    if not text or not text.isprintable():
        raise StatePasswordError(f"{path}: one line of text is needed")
    return text
