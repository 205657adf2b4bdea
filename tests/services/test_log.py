"""Tests of `services.log`: what a line may and may not hold."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from services import log


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Log to memory, and leave logging as it was."""
    root = logging.getLogger()
    before, level = [*root.handlers], root.level
    quiet = {
        name: logging.getLogger(name).level
        for name in ("uvicorn", "uvicorn.error", "httpx", "httpcore")
    }
    root.handlers = []  # `configure` would close pytest's own
    stream = io.StringIO()
    log.configure(stream)
    yield stream
    root.handlers, root.level = before, level
    for name, old in quiet.items():
        logging.getLogger(name).setLevel(old)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the lines that were written, each a JSON object."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_line_of_json(written: io.StringIO) -> None:
    """Time, level and name come first, then the values as they are."""
    log.event("token.issued", client_id="orders", bound=True, left=3, peer=None)
    (line,) = lines(written)
    assert list(line)[:3] == ["ts", "level", "event"]
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "info",
        "event": "token.issued",
        "client_id": "orders",
        "bound": True,
        "left": 3,
        "peer": None,
    }


def test_a_value_cannot_begin_a_line(written: io.StringIO) -> None:
    """Line ends and escape sequences from a caller stay inside their value."""
    forged = 'x\n{"event": "token.issued"}\r\x1b[2J\u2028\x85'
    log.event("token.refused", level=logging.WARNING, reason=forged)
    assert len(written.getvalue().splitlines()) == 1
    assert "\x1b" not in written.getvalue()
    assert lines(written)[0]["reason"] == forged


def test_no_control_stands_in_a_line(written: io.StringIO) -> None:
    """Not the one that JSON does not ask to be escaped either (RFC 8259, section 7)."""
    every = "".join(map(chr, [*range(32), 127]))
    log.event("token.refused", reason=every)
    assert written.getvalue().rstrip("\n").isprintable()
    assert lines(written)[0]["reason"] == every


def test_a_token_is_cut_out(written: io.StringIO) -> None:
    """What looks like a signed token never reaches the log."""
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJvcmRlcnMifQ.c2lnbmF0dXJl"
    log.event("oops", header=f"Bearer {token}", name="eyJ is no token")
    assert lines(written)[0]["header"] == "Bearer [token]"
    assert lines(written)[0]["name"] == "eyJ is no token"


def test_a_private_key_is_cut_out(written: io.StringIO) -> None:
    """What looks like a private key never reaches the log, whole or in part."""
    label = "PRIVATE" + " KEY"  # whole, it would look like one to scanners
    key = f"-----BEGIN {label}-----\nc2VjcmV0\n-----END {label}-----"
    log.event("oops", whole=f"a {key} b", part=key[:40])
    assert lines(written)[0]["whole"] == "a [private key] b"
    assert "c2Vj" not in written.getvalue()


def test_a_library_speaks_the_same_form(written: io.StringIO) -> None:
    """A warning of another library is a line of JSON with its origin."""
    logging.getLogger("uvicorn.error").warning("Invalid %s", "request")
    (line,) = lines(written)
    assert line["event"] == "library"
    assert (line["logger"], line["message"]) == ("uvicorn.error", "Invalid request")


def test_a_traceback_is_a_value(written: io.StringIO) -> None:
    """An exception of a library comes in the same one line, cleaned as the rest."""
    try:
        int("eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJvcmRlcnMifQ.c2lnbmF0dXJl")
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in application")
    (line,) = lines(written)
    assert line["traceback"].endswith("base 10: '[token]'")


def test_chatter_of_libraries_is_left_out(written: io.StringIO) -> None:
    """Starts, stops and requests are not told by libraries: httpx logs whole URLs."""
    for name in ("uvicorn.error", "httpx", "httpcore.http11"):
        logging.getLogger(name).info("chatter")
    assert not lines(written)


def test_a_value_has_an_end(written: io.StringIO) -> None:
    """Nobody fills the disk with one request; the line tells how much is missing."""
    log.event("token.refused", client_id="x" * 8192, reason="y" * 8200)
    (line,) = lines(written)
    assert line["client_id"] == "x" * 8192
    assert line["reason"] == "y" * 8192 + " [8 more]"


def test_who_listens_beside_us_changes_no_line(written: io.StringIO) -> None:
    """A line is the same written at once and by way of a record for somebody else."""
    fields: dict[str, Any] = {"peer": Path("/a"), "name": "caf\u00e9 \ud800", "left": 3}
    log.event("token.issued", **fields)
    heard: list[logging.LogRecord] = []
    beside = logging.Handler()
    beside.addFilter(lambda record: bool(heard.append(record)))  # type: ignore[func-returns-value]
    logging.getLogger("certbound").addHandler(beside)
    try:
        log.event("token.issued", **fields)
    finally:
        logging.getLogger("certbound").removeHandler(beside)
    first, second = lines(written)
    assert [record.getMessage() for record in heard] == ["token.issued"]
    assert first.pop("ts")[:16] <= second.pop("ts")[:16]
    assert first == second
    assert first["name"] == fields["name"]


def test_a_log_that_cannot_be_written_fails_nobody(written: io.StringIO) -> None:
    """What has happened has happened, whether or not the disk is full."""
    full = Path("/dev/full").open("w")  # noqa: SIM115 - to close it fails, too
    log.configure(full)
    log.event("token.issued")
    with suppress(OSError):
        full.close()
    log.configure(written)
    log.event("token.issued")
    assert len(lines(written)) == 1
