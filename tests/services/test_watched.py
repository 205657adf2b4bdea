"""Tests of `services.watched`: the newest good value, and never a worse one."""

import os
from pathlib import Path

import pytest

from pki.errors import PkiError
from services.errors import ServiceError
from services.watched import INTERVAL, Watched, file_stamp
from tests.services.logged import lines, listen, only_line


class Shelf:
    """A file with a text, watched at a time that the test keeps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds = 100.0
        self.loads = 0
        self.replace("first")
        self.watched = Watched(
            self._load, file_stamp(path), name="shelf", monotonic=lambda: self.seconds
        )

    def _load(self) -> str:
        self.loads += 1
        text = self.path.read_text()
        if text == "bad":
            raise ServiceError("refused by the service")
        if text == "worse":
            raise PkiError("refused by the PKI")
        return text

    def replace(self, text: str) -> None:
        """Put a new file in the place of the old one, in one step."""
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.replace(self.path)

    def later(self) -> str:
        """Return the value after the interval."""
        self.seconds += INTERVAL
        return self.watched.current()


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """Return a shelf with a good text on it."""
    return Shelf(tmp_path / "text")


def test_the_first_value_is_there_at_once(shelf: Shelf) -> None:
    """It is read when the watch begins, not when somebody asks."""
    assert shelf.loads == 1
    assert shelf.watched.current() == "first"


def test_a_first_value_that_is_bad_is_refused(shelf: Shelf) -> None:
    """There is none to fall back to, so the process does not start."""
    shelf.replace("bad")
    with pytest.raises(ServiceError, match="refused by the service"):
        Watched(shelf._load, file_stamp(shelf.path), name="shelf")


def test_a_new_value_is_taken(shelf: Shelf) -> None:
    """A replaced file is read without a restart."""
    shelf.replace("second")
    assert shelf.later() == "second"


def test_the_disk_is_looked_at_once_an_interval(shelf: Shelf) -> None:
    """Requests in between get what is known."""
    shelf.replace("second")
    shelf.seconds += INTERVAL - 0.01
    assert shelf.watched.current() == "first"
    shelf.seconds += 0.01
    assert shelf.watched.current() == "second"


def test_an_unchanged_file_is_not_read_again(shelf: Shelf) -> None:
    """The stamp tells that nothing happened."""
    shelf.later()
    shelf.later()
    assert shelf.loads == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [("bad", "refused by the service"), ("worse", "refused by the PKI")],
)
def test_a_bad_value_leaves_the_old_one(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    """A mistake on disk is logged once with its reason, and changes nothing."""
    shelf.replace(text)
    assert [shelf.later(), shelf.later()] == ["first", "first"]
    line = only_line(caplog)
    assert (line["level"], line["event"]) == ("error", "reload.refused")
    assert (line["what"], line["reason"]) == ("shelf", reason)


def test_a_mended_value_is_taken(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    """After a bad one the next good one counts."""
    listen(caplog)
    shelf.replace("bad")
    shelf.later()
    shelf.replace("third")
    assert shelf.later() == "third"
    assert lines(caplog)[-1]["event"] == "reload.done"


def test_a_mistake_of_ours_is_not_hidden(shelf: Shelf) -> None:
    """Only refusals keep the old value: what nobody foresaw comes out."""
    shelf.path.unlink()
    with pytest.raises(FileNotFoundError):
        shelf.later()


def test_a_stamp_knows_a_replaced_file(tmp_path: Path) -> None:
    """Another file of the same size and time is another file."""
    path, new = tmp_path / "text", tmp_path / "new"
    for one in (path, new):
        one.write_text("same size")
        os.utime(one, (0, 0))
    before = file_stamp(path)()
    new.replace(path)
    assert file_stamp(path)() != before


def test_a_stamp_knows_a_rewritten_file(tmp_path: Path) -> None:
    """The same file with another text is known by its time or its size."""
    path = tmp_path / "text"
    path.write_text("one")
    before = file_stamp(path)()
    path.write_text("three")
    assert file_stamp(path)() != before


def test_a_file_that_is_gone_has_a_stamp_of_its_own(tmp_path: Path) -> None:
    """No file is a state like another: it differs from every file."""
    path = tmp_path / "text"
    path.write_text("one")
    stamp = file_stamp(path)
    assert stamp() is not None
    path.unlink()
    assert stamp() is None
