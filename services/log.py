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
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import TextIO

import msgspec

_LOGGER = logging.getLogger("certbound")
_FIELDS = "certbound_fields"

# A JOSE compact form begins with the base64url of `{"` and has three parts or more
# (RFC 7515, section 3.1); five make an encrypted one.
# Ours that are opaque begin with `cbo_`.
_TOKEN = re.compile(r"eyJ[\w-]*(\.[\w-]*){2,4}|cbo_[\w-]+")
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
        fields = getattr(record, _FIELDS, None)
        if fields is not None:
            return _line(record.created, record.levelno, record.getMessage(), fields)
        fields = {"logger": record.name, "message": record.getMessage().strip()}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return _line(record.created, record.levelno, "library", fields)


class _Lines(logging.StreamHandler[TextIO]):
    """The one handler there is, mostly, and then events need not be records."""

    def __init__(self) -> None:
        super().__init__()
        self._alone = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of `record`."""
        try:
            self.write(self.format(record))
        except Exception:  # noqa: BLE001 - nobody fails because he cannot say so
            self.handleError(record)

    def write(self, line: str) -> None:
        """Write a line at once, whoever writes beside this."""
        with self._alone:
            self.stream.write(f"{line}\n")
            self.stream.flush()

    @property
    def is_alone(self) -> bool:
        """Whether nobody else wants to hear of our events."""
        return logging.root.handlers == [self] and not _LOGGER.handlers


_LINES = _Lines()
_LINES.setFormatter(JsonFormatter())


def configure(stream: TextIO | None = None) -> None:
    """Send everything this process logs to `stream` (standard error), as JSON."""
    # Of the thread and the process nothing is told, so nobody needs to find them out.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    _LINES.stream = stream or sys.stderr
    logging.basicConfig(handlers=[_LINES], level=logging.INFO, force=True)
    # uvicorn and httpx tell of every start, stop and request: we say those ourselves.
    for chatty in ("uvicorn", "uvicorn.error", "httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def event(name: str, /, *, level: int = logging.INFO, **fields: object) -> None:
    """Log that `name` happened; `fields` are the values a reader will search for."""
    if not _LOGGER.isEnabledFor(level):
        return
    if _LINES.is_alone:
        try:  # noqa: SIM105 - every request comes here
            _LINES.write(_line(time.time(), level, name, fields))
        except (OSError, ValueError):  # nobody fails because he cannot say so
            pass
        return
    # Made here: `Logger.log` would look through the stack for a caller nobody asks for.
    record = logging.LogRecord(_LOGGER.name, level, "", 0, name, None, None)
    setattr(record, _FIELDS, fields)
    _LOGGER.handle(record)


def shows(level: int) -> bool:
    """Return whether an event of this level is written at all."""
    return _LOGGER.isEnabledFor(level)


def _line(created: float, level: int, name: str, fields: Mapping[str, object]) -> str:
    """Return the line of an event, without its end."""
    line: dict[str, object] = {
        "ts": f"{_second(int(created))}.{int(created % 1 * 1000):03}Z",
        "level": _level(level),
        "event": name,
    }
    for key, value in fields.items():
        line[key] = value if type(value) in _PLAIN else str(value)
    text = _text(line)
    # What begins a token or a key: a line without them needs no closer look.
    if len(text) <= _LONGEST and not (
        "eyJ" in text or "cbo_" in text or "-----BEGIN " in text
    ):
        return text
    return json.dumps({key: _clean(value) for key, value in line.items()})


@cache
def _level(number: int) -> str:
    return logging.getLevelName(number).lower()


@lru_cache(maxsize=1)
def _second(whole: int) -> str:
    """Return a second since 1970 as RFC 3339 has it, in UTC, but for the zone."""
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _text(line: dict[str, object]) -> str:
    """Return a line as JSON in ASCII: Unicode has line ends that JSON does not escape.

    The quick encoder takes no half of a surrogate pair, which `json` does, and lets DEL
    stand, which `json` does not.
    """
    try:
        text = msgspec.json.encode(line).decode()
    except (UnicodeError, OverflowError):
        return json.dumps(line)
    return text if text.isascii() and text.isprintable() else json.dumps(line)


def _clean(value: object) -> object:
    """Return `value` as JSON can hold it, without tokens and private keys."""
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = _PRIVATE_KEY.sub("[private key]", _TOKEN.sub("[token]", str(value)))
    if len(text) <= _LONGEST:
        return text
    return f"{text[:_LONGEST]} [{len(text) - _LONGEST} more]"
