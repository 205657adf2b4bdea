"""The log: one line of JSON an event, on standard error.

`configure` is called once by the command that runs a process; every room then calls
`event`. What other libraries log (uvicorn, asyncio) comes out in the same form.

JSON escapes control characters, so what a caller sends can never begin a line of its
own. Whatever looks like a signed token or a private key is cut out before a line is
written; that is a net below the rule that no room hands one over, not a licence to.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import TextIO

_LOGGER = logging.getLogger("certbound")
_FIELDS = "certbound_fields"

# A JOSE compact form begins with the base64url of `{"` and has three parts or more
# (RFC 7515, section 3.1); five make an encrypted one.
# Ours that are opaque begin with `cbo_`.
_TOKEN = re.compile(r"eyJ[\w-]*(\.[\w-]*){2,4}|cbo_[\w-]+")
# What begins a token or a key: a line without them needs no closer look.
_SIGNS = ("eyJ", "cbo_", "-----BEGIN ")
_PLAIN = (str, int, bool, float, type(None))
# Characters of one value: longer is what a caller sends to fill the disk.
_LONGEST = 8192
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)


class JsonFormatter(logging.Formatter):
    """Write a record as one JSON object: `ts`, `level`, `event`, then its fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        written = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "ts": written.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
        }
        fields = getattr(record, _FIELDS, None)
        if fields is None:
            line |= {"event": "library", "logger": record.name}
            line["message"] = record.getMessage().strip()
        else:
            line |= {"event": record.getMessage(), **fields}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(
            {k: v if type(v) in _PLAIN else str(v) for k, v in line.items()}
        )
        if len(text) <= _LONGEST and not any(sign in text for sign in _SIGNS):
            return text
        return json.dumps({key: _clean(value) for key, value in line.items()})


def configure(stream: TextIO | None = None) -> None:
    """Send everything this process logs to `stream` (standard error), as JSON."""
    # Of the thread and the process nothing is told, so nobody needs to find them out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    # uvicorn and httpx tell of every start, stop and request: we say those ourselves.
    for chatty in ("uvicorn", "uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def event(name: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Log that `name` happened; `fields` are the values a reader will search for."""
    if not _LOGGER.isEnabledFor(level):
        return
    # Made here: `Logger.log` would look through the stack for a caller nobody asks for.
    record = logging.LogRecord(_LOGGER.name, level, "", 0, name, None, None)
    setattr(record, _FIELDS, fields)
    _LOGGER.handle(record)


def shows(level: int) -> bool:
    """Return whether an event of this level is written at all."""
    return _LOGGER.isEnabledFor(level)


def _clean(value: object) -> object:
    """Return `value` as JSON can hold it, without tokens and private keys."""
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = _PRIVATE_KEY.sub("[private key]", _TOKEN.sub("[token]", str(value)))
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]} [{len(text) - _LONGEST} more]"
