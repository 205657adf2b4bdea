"""Passphrases from a descriptor, a file or systemd: what counts, what does not."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pki import passphrase
from pki.storage import InsecurePermissionsError, write_atomically

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


def test_systemd_hands_it_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit's credential is read, each key's by its own name; a descriptor wins."""
    handed = tmp_path / "issuing-passphrase"
    handed.write_bytes(b"two words\n")
    handed.chmod(0o440)  # as systemd's access control list shows
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert passphrase.reader("issuing", None)() == b"two words"
    with pytest.raises(passphrase.PassphraseError, match="descriptor 9999"):
        passphrase.reader("issuing", 9999)()


def test_other_files_are_private(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only in the directory that systemd guards may the mode say more."""
    file = tmp_path / "issuing-passphrase"
    write_atomically(file, b"two words\n")
    assert passphrase.from_file("issuing", file) == b"two words"
    file.chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "elsewhere"))
    with pytest.raises(InsecurePermissionsError, match="0440"):
        passphrase.from_file("issuing", file)


def test_missing_credential_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was promised one and has none says which."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(passphrase.PassphraseError, match="no issuing passphrase in"):
        passphrase.from_file("issuing", tmp_path / "issuing-passphrase")
