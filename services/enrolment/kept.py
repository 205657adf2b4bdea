"""The ledger, kept open for whoever reads next: to open it costs more than to read.

`publication` and `office` read here, each time a state of its own
(`Ledger.connection.snapshot`). A few stay open while nobody reads, for a minute at
most, so that a new password, a new version or a server that moved is met as if each had
been opened for its reader. A file that took another one's place is seen at once. One
that broke off meanwhile is closed, and its reader gets a new one.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from pki import database
from pki.errors import PkiError
from pki.ledger import Ledger
from services.errors import ServiceError

T = TypeVar("T")

_MOST = 4
_LONGEST = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Kept:
    ledger: Ledger
    stack: ExitStack  # closes it
    since: datetime
    file: tuple[int, int]  # device and inode


class KeptLedgers:
    """One ledger, open as often as it is read at the same time."""

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self._path = path
        self._clock = clock
        self._idle: list[_Kept] = []

    def read(self, work: Callable[[Ledger], T]) -> T:
        """Return what `work` returns for the ledger as it is now.

        `work` may be called twice: a second time if the connection had broken off.

        Raises:
            LedgerError, OSError: it cannot be read.
            ServiceError: of `work`.
        """
        kept = self._take()
        if kept is not None:
            with suppress(PkiError):
                return self._use(kept, work)
        return self._use(self._open(), work)

    def close(self) -> None:
        """Close what nobody reads."""
        while (kept := self._pop()) is not None:
            kept.stack.close()

    def _use(self, kept: _Kept, work: Callable[[Ledger], T]) -> T:
        try:
            with kept.ledger.connection.snapshot():
                found = work(kept.ledger)
        except ServiceError:
            self._give(kept)
            raise
        except BaseException:
            with kept.stack:  # which says in its own words what broke
                raise
        self._give(kept)
        return found

    def _open(self) -> _Kept:
        file = self._file()
        with ExitStack() as stack:
            ledger = Ledger(stack.enter_context(database.reading(self._path)))
            return _Kept(ledger, stack.pop_all(), self._clock(), file)

    def _take(self) -> _Kept | None:
        file, now = self._file(), self._clock()
        while (kept := self._pop()) is not None:
            if kept.file == file and abs(now - kept.since) < _LONGEST:
                return kept
            kept.stack.close()
        return None

    def _pop(self) -> _Kept | None:
        try:
            return self._idle.pop()  # in one step, whoever else does
        except IndexError:
            return None

    def _give(self, kept: _Kept) -> None:
        if len(self._idle) < _MOST:
            self._idle.append(kept)
        else:
            kept.stack.close()

    def _file(self) -> tuple[int, int]:
        found = self._path.stat()
        return found.st_dev, found.st_ino
