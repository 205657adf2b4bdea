"""A value read from disk that follows the disk, without a restart.

The roll-out replaces a document or a generation of certificates as a whole; the running
process asks `current()` for each request and gets the newest one that could be read. A
bad one leaves the old one in place and is logged once: a process must not fall over a
mistake that its next start would have refused.
"""

import time
from collections.abc import Callable
from logging import ERROR
from pathlib import Path
from typing import Generic, TypeVar

from pki.errors import PkiError
from services import log
from services.errors import ServiceError

T = TypeVar("T")

INTERVAL = 1.0  # seconds between two looks at the disk


class Watched(Generic[T]):
    """The newest good value of what `load` reads."""

    def __init__(
        self,
        load: Callable[[], T],
        stamp: Callable[[], object],
        *,
        name: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the value for the first time.

        Args:
            load: reads the value, or raises a `ServiceError` or `PkiError`.
            stamp: something that differs whenever the value may have changed.
            name: what the log calls it.
            monotonic: seconds that only rise.

        Raises:
            ServiceError: the first value cannot be read; there is none to fall back to.
        """
        self._load = load
        self._stamp = stamp
        self._name = name
        self._monotonic = monotonic
        self._looked_at = monotonic()
        self._seen = stamp()
        self._value = load()

    def current(self) -> T:
        """Return the newest good value, looking at the disk at most once a second."""
        now = self._monotonic()
        if now - self._looked_at >= INTERVAL:
            self._looked_at = now
            self._look()
        return self._value

    def _look(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._value = self._load()
        except (ServiceError, PkiError) as error:
            log.event("reload.refused", level=ERROR, what=self._name, reason=error)
        else:
            log.event("reload.done", what=self._name)


def file_stamp(path: Path) -> Callable[[], object]:
    """Return a stamp of `path` that changes when the file is replaced or rewritten."""

    def stamp() -> object:
        try:
            status = path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    return stamp
