"""Give back to the system what a large revocation list took while it was read.

glibc takes a large block from the system and gives it back when it is freed; but each
such block raises the size from which it does so, up to 32 MB, and what is smaller stays
with the process. A list of a hundred thousand entries has five megabytes, of which
reading makes several copies; they would stay, several times over, once for each thread.
"""

import ctypes
from contextlib import suppress
from functools import cache

LARGE = 1024 * 1024  # bytes
_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h


@cache
def give_large_blocks_back() -> None:
    """From now on, have what is large given back at once; other C libraries do."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_THRESHOLD, LARGE)
