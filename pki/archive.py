"""The form of a backup: one tar file, whose first member says what the others are.

`backup` writes it, `restoring` reads it. The sums find damage. They prove nothing of
who made it: keys are sealed, the ledger is chained and witnessed, the rest is public or
comes from the topology anyway.
"""

import hashlib
import io
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from pki.errors import PkiError
from pki.storage import sync_directory

FORMAT = 1
_MANIFEST = "manifest.json"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")


class ArchiveError(PkiError):
    """The file is no backup, or a damaged one."""

    code = "bad_backup"


class Manifest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What is in a backup. Moments are as `clock.to_text` writes them."""

    format: int
    made_at: str
    entries: int
    head: str  # the hash of the newest entry
    crl_numbers: dict[str, int]  # by authority, the highest
    files: dict[str, str]  # SHA-256 by name
    ledger_url: str | None = None
    ledger_password_file: str | None = None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of `path` when it is whole and on the disk."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(beside, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor
            yield file
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    beside.replace(path)
    sync_directory(path.parent)


def write(file: BinaryIO, manifest: Manifest, members: Mapping[str, Path]) -> None:
    """Write a backup with the files in `members`; the sums are taken of what is read.

    They are small but for the ledger, and nobody writes to them meanwhile.
    """
    manifest.files = {name: _sum(path) for name, path in members.items()}
    text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        about = tarfile.TarInfo(_MANIFEST)
        about.size, about.mode = len(text), 0o600
        tar.addfile(about, io.BytesIO(text))
        for name, path in members.items():
            about = tarfile.TarInfo(name)
            about.size, about.mode = path.stat().st_size, 0o600
            with path.open("rb") as content:
                tar.addfile(about, content)


def unpack(path: Path, directory: Path) -> Manifest:
    """Write what the backup at `path` holds below `directory`, which is empty.

    Raises:
        ArchiveError: it is none, is of a later format, or a file in it is missing, too
            many, changed or has a name that leads elsewhere.
    """
    try:
        with tarfile.open(path, mode="r:") as tar:
            return _unpack(tar, directory)
    except (tarfile.TarError, EOFError) as error:
        raise ArchiveError(f"{path} is no backup, or a damaged one: {error}") from error


def _unpack(tar: tarfile.TarFile, directory: Path) -> Manifest:
    first = tar.next()
    if first is None or first.name != _MANIFEST:
        raise ArchiveError("the backup does not begin with its manifest")
    manifest = _manifest(_content(tar, first).read())
    found: dict[str, str] = {}
    for member in iter(tar.next, None):
        if not member.isreg() or not _NAME.fullmatch(member.name):
            raise ArchiveError(f"the backup holds {member.name!r}, which is no file")
        place = directory / member.name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with replacing(place) as file:
            shutil.copyfileobj(_content(tar, member), file)
        found[member.name] = _sum(place)
    if found != manifest.files:
        differing = sorted({name for name, _ in found.items() ^ manifest.files.items()})
        raise ArchiveError(f"damaged in the backup: {', '.join(differing)}")
    return manifest


def _manifest(text: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ArchiveError(f"the backup's manifest: {error}") from error
    if manifest.format != FORMAT:
        raise ArchiveError(
            f"the backup has format {manifest.format}, only {FORMAT} is known"
        )
    return manifest


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> BinaryIO:
    content = tar.extractfile(member) if member.isreg() else None
    if content is None:
        raise ArchiveError(f"{member.name} in the backup is no file")
    return content  # type: ignore[return-value]  # a binary reader


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
