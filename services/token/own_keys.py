"""The signing keys of this replica, as they follow one another while it runs.

Asked for each token and each key set, it looks at the clock and, for tokens ten times a
second at most, at the names of the files. Only when `rotation` says that something is
due, or those names have changed (`on_demand`), does it read or write any. If that
fails, the keys that are there go on: an older key signs no worse, and the log says so
every minute.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from logging import ERROR
from pathlib import Path

from services import log
from services.token.key_files import KeyFile, KeyFiles
from services.token.rotation import Schedule, plan
from services.token.signing_keys import PublishedKey, SigningKey, SigningKeyError

_RETRY = timedelta(minutes=1)

_PAUSE = 0.1  # seconds for which a key signs without a look at the disk
_SETTLED = 2.0  # seconds after which no change hides behind the clock of the disk


class OwnKeys:
    """The keys in one state directory, on a schedule that may change."""

    def __init__(
        self,
        state: Path,
        schedule: Callable[[], Schedule],
        clock: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the keys; the first caller makes the first.

        Raises:
            SigningKeyError: one of the files is no P-256 key, or its mode lets others
                read it, or none can sign.
        """
        self._files = KeyFiles(state)
        self._schedule = schedule
        self._clock = clock
        self._monotonic = monotonic
        self._keys: list[KeyFile]
        self._names: frozenset[str]
        self._stamp: int | None = None
        self._looked_at: datetime
        self._again: datetime
        self._planned: Schedule
        self._signing: tuple[float, SigningKey] | None = None
        self._look(clock(), schedule())

    def signing(self) -> SigningKey:
        """Return the key that signs now."""
        if self._signing is not None and self._looked_at <= self._clock() < self._again:
            since, key = self._signing
            if self._monotonic() - since < _PAUSE:
                return key
        now = self._follow()  # which may change the keys
        key = _signing(self._keys, now)
        self._signing = self._monotonic(), key
        return key

    def published(self) -> Sequence[PublishedKey]:
        """Return every key that has signed a living token, or will sign one soon."""
        self._follow()
        return [file.key for file in self._keys]

    def _follow(self) -> datetime:
        now, schedule = self._clock(), self._schedule()
        names = self._present_names(now)
        # A clock that went back proves nothing of what is due.
        if (
            self._looked_at <= now < self._again
            and schedule == self._planned
            and names == self._names
        ):
            return now
        try:
            self._look(now, schedule)
        except SigningKeyError as error:
            log.event("signing_key.not_rotated", level=ERROR, reason=error)
            self._looked_at, self._again = now, now + _RETRY
            self._planned, self._names = schedule, names
        return now

    def _present_names(self, now: datetime) -> frozenset[str]:
        """Return the names of the files; of a directory at rest, those known before."""
        stamp = self._files.stamp()
        if (
            stamp is not None
            and stamp == self._stamp
            and abs(now.timestamp() - stamp / 1e9) > _SETTLED
        ):
            return self._names
        self._stamp = stamp
        return self._files.names() or self._names  # none: the disk has gone away

    def _look(self, now: datetime, schedule: Schedule) -> None:
        """Do all that is due, one step after the other."""
        now = now.replace(microsecond=0)  # the names of the files have no more
        self._signing = None
        with self._files.alone():
            keys = self._files.read()
            due = plan([file.begins for file in keys], now, schedule)
            while due.make is not None:
                made = self._files.make(due.make)
                _log("made", made)
                keys = sorted([*keys, made], key=lambda file: file.begins)
                due = plan([file.begins for file in keys], now, schedule)
            _signing(keys, now)
            for number in due.retire:
                if isinstance(keys[number].key, SigningKey):
                    self._files.retire(keys[number])
                    _log("retired", keys[number])
            for number in due.forget:
                self._files.forget(keys[number])
                _log("forgotten", keys[number])
            self._keys = self._files.read()
            self._names = self._files.names()
        again = plan([file.begins for file in self._keys], now, schedule).again
        self._looked_at, self._again, self._planned = now, again, schedule


def _signing(keys: Sequence[KeyFile], now: datetime) -> SigningKey:
    """Return the last key that has begun; retired ones cannot sign any more."""
    first = None
    for file in reversed(keys):
        if isinstance(file.key, SigningKey):
            if file.begins <= now:
                return file.key
            first = file.key
    if first is None:
        raise SigningKeyError("not a private P-256 key among the signing keys")
    return first  # the clock has gone back


def _log(what: str, file: KeyFile) -> None:
    log.event(
        f"signing_key.{what}",
        key_id=file.key.key_id,
        begins=file.begins.isoformat(),
    )
