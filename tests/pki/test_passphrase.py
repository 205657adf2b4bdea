"""Passphrases from a file descriptor: what counts, and what does not."""

import os
from collections.abc import Callable, Iterator

import pytest

from pki import passphrase

Give = Callable[[bytes], int]


@pytest.fixture
def give() -> Iterator[Give]:
    """Return what puts bytes behind a file descriptor."""
    readers: list[int] = []

    def give(text: bytes) -> int:
        reader, writer = os.pipe()
        readers.append(reader)
        os.write(writer, text)
        os.close(writer)
        return reader

    yield give
    for reader in readers:
        os.close(reader)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_end_of_line_does_not_count(give: Give, end: bytes) -> None:
    """An editor's line end is not part of the passphrase."""
    read = passphrase.reader("root", give(b" two words " + end))
    assert read() == b" two words "


def test_only_one_end_of_line_is_taken_off(give: Give) -> None:
    """What was meant is not guessed any further."""
    assert passphrase.reader("root", give(b"words\n\n"))() == b"words\n"


@pytest.mark.parametrize("text", [b"", b"\n"])
def test_empty_passphrase_is_refused(give: Give, text: bytes) -> None:
    """Nothing is no passphrase."""
    with pytest.raises(passphrase.PassphraseError, match="root passphrase is empty"):
        passphrase.reader("root", give(text))()


def test_overlong_passphrase_is_refused(give: Give) -> None:
    """Somebody gave the wrong file."""
    with pytest.raises(passphrase.PassphraseError, match="exceeds 4096"):
        passphrase.reader("root", give(b"x" * 4097))()


def test_closed_descriptor_is_refused(give: Give) -> None:
    """A number behind which there is nothing."""
    with pytest.raises(passphrase.PassphraseError, match="descriptor 9999"):
        passphrase.reader("root", 9999)()


def test_nothing_is_read_before_it_is_needed(give: Give) -> None:
    """Making a reader takes nothing from the descriptor."""
    descriptor = give(b"a passphrase")
    passphrase.reader("root", descriptor)
    assert os.read(descriptor, 100) == b"a passphrase"
