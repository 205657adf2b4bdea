"""What the flows share."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Return a stack that ends every process."""
    with ExitStack() as opened:
        yield opened
