"""What the log says, as its reader will see it."""

import json
import logging
from typing import Any

import pytest

from services.log import JsonFormatter


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """Return the lines of our own events so far, read back from JSON."""
    formatter = JsonFormatter()
    return [
        json.loads(formatter.format(record))
        for record in caplog.records
        if record.name == "certbound"
    ]


def only_line(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """Return the one line that was logged."""
    (line,) = lines(caplog)
    return line


def listen(caplog: pytest.LogCaptureFixture) -> None:
    """Let the test see every event, as `services.log.configure` does."""
    caplog.set_level(logging.INFO, "certbound")
