"""The signing keys of one replica on disk: a file a key, mode 0600.

A file is named after the moment its key begins to sign, so the directory listing is the
whole record and there is no second one to disagree with it. Each step is one `link`,
`rename` or `unlink`: after a crash the file is there whole or not at all, and the same
step can be taken again. A key that has done signing loses its private half at once;
its file holds the public half from then on.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from services.token.signing_keys import (
    PublishedKey,
    SigningKey,
    SigningKeyError,
    read_key,
)

_NAME = "signing-key-%Y%m%dT%H%M%SZ.pem"
_READ = "signing-key-%Y%m%dT%H%M%S%z.pem"  # as above, and Z means UTC
_PATTERN = "signing-key-*.pem"
_FIRST = "signing-key.pem"  # what it was called before keys were rotated
_PARTIAL = ".signing-key-*"


@dataclass(frozen=True, slots=True)
class KeyFile:
    """One key, and the moment from which it signs."""

    path: Path
    begins: datetime
    key: PublishedKey


class KeyFiles:
    """The keys in one state directory; every method raises `SigningKeyError`."""

    def __init__(self, state: Path) -> None:
        self._state = state

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes out, and put away what a crash has left."""
        try:
            self._state.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory = os.open(self._state, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise _failed(self._state, error) from None
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)  # gone with the process, however
            self._tidy()
            yield
            os.fsync(directory)
        except OSError as error:
            raise _failed(self._state, error) from None
        finally:
            os.close(directory)

    def stamp(self) -> int | None:
        """Return what changes when a file comes, goes or is renamed; None if unknown.

        In nanoseconds since 1970, but of a clock that may stand for some milliseconds.
        """
        try:
            return self._state.stat().st_mtime_ns
        except OSError:
            return None

    def names(self) -> frozenset[str]:
        """Return the names of the files, which tell all but what is in them."""
        return frozenset(path.name for path in self._state.glob(_PATTERN))

    def read(self) -> list[KeyFile]:
        """Return every key, the one that begins first, first."""
        found = [_read(path) for path in sorted(self._state.glob(_PATTERN))]
        if len({file.key.key_id for file in found}) != len(found):
            raise SigningKeyError(f"{self._state}: one key in two files")
        return found

    def make(self, begins: datetime) -> KeyFile:
        """Make a key that signs from `begins` on; one that is there is not replaced."""
        key = SigningKey.make()
        path = self._state / begins.astimezone(UTC).strftime(_NAME)
        with self._written(key.private_pem()) as partial, suppress(FileExistsError):
            os.link(partial, path)
        return _read(path)

    def move(self, file: KeyFile, begins: datetime) -> KeyFile:
        """Let a key sign from another moment on, at which no other key begins."""
        path = self._state / begins.astimezone(UTC).strftime(_NAME)
        if path.exists():
            raise SigningKeyError(f"{path}: another key begins at that moment")
        file.path.rename(path)
        return _read(path)

    def retire(self, file: KeyFile) -> None:
        """Leave of a key only what checks signatures."""
        with self._written(file.key.public_pem()) as partial:
            partial.rename(file.path)

    def forget(self, file: KeyFile) -> None:
        """Leave nothing of a key."""
        file.path.unlink(missing_ok=True)

    @contextmanager
    def _written(self, content: bytes) -> Iterator[Path]:
        """Write a file that is on the disk before it gets its name."""
        partial = self._state / f".signing-key-{os.getpid()}"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            yield partial
        finally:
            partial.unlink(missing_ok=True)

    def _tidy(self) -> None:
        for partial in self._state.glob(_PARTIAL):
            partial.unlink()
        first = self._state / _FIRST
        if first.exists():
            made = datetime.fromtimestamp(int(first.stat().st_mtime), UTC)
            first.rename(first.with_name(made.strftime(_NAME)))


def _read(path: Path) -> KeyFile:
    try:
        begins = datetime.strptime(path.name, _READ)  # noqa: DTZ007 - it reads Z
        _check_private(path)
        key = read_key(path.read_bytes())
    except OSError as error:
        raise _failed(path, error) from None
    except ValueError:
        raise SigningKeyError(f"{path}: the name tells no moment") from None
    except SigningKeyError as error:
        raise SigningKeyError(f"{path}: {error}") from None
    return KeyFile(path, begins, key)


def _check_private(path: Path) -> None:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise SigningKeyError("it can be read by others; its mode must be 0600")


def _failed(path: Path, error: OSError) -> SigningKeyError:
    return SigningKeyError(f"{error.filename or path}: {error.strerror}")
