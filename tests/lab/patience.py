"""Waiting for something outside this process, for so long and no longer."""

import time
from collections.abc import Callable

from tests.lab.errors import LabError

_PAUSE = 0.02  # seconds


def until(done: Callable[[], bool], limit: float, otherwise: str) -> None:
    """Ask `done` again and again for `limit` seconds.

    Raises:
        LabError: with the text `otherwise`; the time was not enough.
    """
    deadline = time.monotonic() + limit
    while not done():
        if time.monotonic() > deadline:
            raise LabError(f"{otherwise} (waited {limit:.0f} s)")
        time.sleep(_PAUSE)
