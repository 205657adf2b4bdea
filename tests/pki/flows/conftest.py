"""Fixtures of the flows."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """Return an empty directory, in memory where there is one.

    A killed process loses nothing that the kernel has, so the disk's own slowness adds
    nothing to these tests but time.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own below it
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)
