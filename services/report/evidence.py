"""What was seen, kept: as a page for people and as JSON for machines.

The JSON is what was read on standard input, with the time and the versions: what a
probe says is kept whole, whether the page shows it or not.
"""

import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import msgspec

from pki.clock import to_text
from services.config import ConfigError


def evidence(document: bytes, now: datetime, versions: Mapping[str, str]) -> bytes:
    """Return `document`, an object in JSON, with the time and the versions."""
    seen = msgspec.json.decode(document, type=dict[str, object])
    whole = seen | {"made_at": to_text(now), "versions": dict(versions)}
    return msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"


def write(path: Path, content: bytes) -> None:
    """Put `content` at `path`, whole or not at all; its owner alone may read it.

    Raises:
        ConfigError: the directory cannot be written to, or the disk is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        try:
            with os.fdopen(os.open(partial, flags, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
