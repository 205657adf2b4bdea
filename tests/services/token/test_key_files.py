"""Tests of `services.token.key_files`: keys on disk, and crashes at every step."""

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.token.key_files import KeyFile, KeyFiles
from services.token.signing_keys import SigningKey, SigningKeyError

BEGINS = datetime(2026, 9, 21, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Return a state directory that does not exist yet."""
    return tmp_path / "token-service" / "state"


def made(state: Path, begins: datetime = BEGINS) -> KeyFile:
    """Return a key that was made on disk."""
    files = KeyFiles(state)
    with files.alone():
        return files.make(begins)


def read(state: Path) -> list[KeyFile]:
    """Return what a new process would find."""
    files = KeyFiles(state)
    with files.alone():
        return files.read()


def test_a_key_is_its_owners_alone(state: Path) -> None:
    """It is made with its directory, and only its owner may read either."""
    path = made(state).path
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert path.stat().st_nlink == 1


def test_the_mode_does_not_hang_on_the_umask(state: Path) -> None:
    """A careless process umask makes no key that others can read."""
    before = os.umask(0)
    try:
        made(state)
    finally:
        os.umask(before)
    (file,) = read(state)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_key_is_found_again_with_its_moment(state: Path) -> None:
    """The name of the file tells when the key begins."""
    first, second = made(state), made(state, BEGINS + timedelta(days=30))
    assert [(file.begins, file.key.key_id) for file in read(state)] == [
        (file.begins, file.key.key_id) for file in (first, second)
    ]


def test_a_key_is_never_replaced(state: Path) -> None:
    """Whoever makes the key of a moment second gets the first one."""
    assert made(state).key.key_id == made(state).key.key_id


def test_a_retired_key_has_no_private_half(state: Path) -> None:
    """What is left on the disk checks signatures and makes none."""
    file = made(state)
    KeyFiles(state).retire(file)
    (left,) = read(state)
    assert left.key.key_id == file.key.key_id
    assert not isinstance(left.key, SigningKey)
    assert b"PRIVATE" not in left.path.read_bytes()


def test_a_key_can_be_retired_and_forgotten_twice(state: Path) -> None:
    """After a crash the same step is taken again."""
    files, file = KeyFiles(state), made(state)
    files.retire(file)
    files.retire(file)
    files.forget(file)
    files.forget(file)
    assert read(state) == []


@pytest.mark.parametrize("step", ["link", "fsync"])
def test_a_crash_while_a_key_is_made_leaves_none(
    state: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key is there whole or not at all."""
    with monkeypatch.context() as crashing:
        crashing.setattr(os, step, _crash)
        with pytest.raises(KeyboardInterrupt):
            made(state)
    assert read(state) == []
    assert list(state.iterdir()) == []


def test_a_crash_while_a_key_retires_leaves_it_whole(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the one step of a rename, the key is what it was."""
    file = made(state)
    with monkeypatch.context() as crashing:
        crashing.setattr(Path, "rename", _crash)
        with pytest.raises(KeyboardInterrupt):
            KeyFiles(state).retire(file)
    (left,) = read(state)
    assert isinstance(left.key, SigningKey)


def test_what_a_killed_process_left_is_put_away(state: Path) -> None:
    """Half a key under its working name is removed, and never read."""
    file = made(state)
    (state / ".signing-key-4711").write_bytes(b"-----BEGIN")
    assert [left.path for left in read(state)] == [file.path]
    assert list(state.iterdir()) == [file.path]


def test_the_key_of_the_release_before_is_taken_over(state: Path) -> None:
    """It begins when it was made, so that it is rotated like any other."""
    file = made(state)
    os.utime(file.path, (BEGINS.timestamp(), BEGINS.timestamp()))
    file.path.rename(state / "signing-key.pem")
    (left,) = read(state)
    assert (left.begins, left.key.key_id) == (BEGINS, file.key.key_id)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_key_that_others_can_reach_is_refused(state: Path, mode: int) -> None:
    """A key that somebody else may have read signs nothing any more."""
    made(state).path.chmod(mode)
    with pytest.raises(SigningKeyError, match="can be read by others"):
        read(state)


def test_a_file_without_a_key_is_refused_by_name(state: Path) -> None:
    """Whatever else stands there is refused, and not replaced by a new key."""
    path = made(state).path
    path.write_bytes(b"not a key")
    with pytest.raises(SigningKeyError, match=path.name):
        read(state)
    assert path.read_bytes() == b"not a key"


def test_a_file_of_no_moment_is_refused(state: Path) -> None:
    """A name that tells no moment would put the key nowhere in the order."""
    file = made(state)
    file.path.rename(file.path.with_name("signing-key-copy.pem"))
    with pytest.raises(SigningKeyError, match="tells no moment"):
        read(state)


def test_one_key_in_two_files_is_refused(state: Path) -> None:
    """Key ids are unique, so a copy would have two moments (O135)."""
    file = made(state)
    copy = file.path.with_name("signing-key-20270101T000000Z.pem")
    copy.write_bytes(file.path.read_bytes())
    copy.chmod(0o600)
    with pytest.raises(SigningKeyError, match="one key in two files"):
        read(state)


def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """A state that is a file is refused by name."""
    state = tmp_path / "state"
    state.write_text("")
    with pytest.raises(SigningKeyError, match="state"):
        read(state)


def _crash(*_args: object) -> None:
    raise KeyboardInterrupt
