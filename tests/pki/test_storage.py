"""Files that are whole or absent, and private."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pki import storage


def test_written_file_is_private_and_whole(tmp_path: Path) -> None:
    """Mode 0600 whatever the umask, the new content, nothing left beside it."""
    path = tmp_path / "file"
    before = os.umask(0)
    try:
        storage.write_atomically(path, b"old")
        storage.write_atomically(path, b"new")
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_leftover_of_a_crash_is_replaced(tmp_path: Path) -> None:
    """Half a file from a writer that was killed is not in the way."""
    (tmp_path / ".file.new").write_bytes(b"ha")
    storage.write_atomically(tmp_path / "file", b"whole")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_planted_link_is_not_followed(tmp_path: Path) -> None:
    """A symbolic link under the temporary name does not lead the content away."""
    victim = tmp_path / "victim"
    (tmp_path / ".file.new").symlink_to(victim)
    storage.write_atomically(tmp_path / "file", b"content")
    assert not victim.exists()


def test_failed_write_leaves_the_old_content(tmp_path: Path) -> None:
    """When the new content cannot be written, the old one is still there."""
    path = tmp_path / "file"
    storage.write_atomically(path, b"old")
    # RLIMIT_FSIZE stands for a full disk; SIGXFSZ is ignored by Python.
    program = (
        "import resource, sys; from pathlib import Path; from pki import storage;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10));"
        "storage.write_atomically(Path(sys.argv[1]), b'x' * 100)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, check=False
    )
    assert b"File too large" in done.stderr
    assert path.read_bytes() == b"old"


def test_directory_is_private(tmp_path: Path) -> None:
    """Made with mode 0700, and left alone if it exists."""
    path = tmp_path / "a" / "ca"
    storage.make_private_directory(path)
    storage.make_private_directory(path)
    assert path.stat().st_mode & 0o777 == 0o700
    storage.check_private(path)


@pytest.mark.parametrize("mode", [0o750, 0o701, 0o702, 0o710])
def test_directory_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    """One bit for group or world is enough."""
    tmp_path.chmod(mode)
    with pytest.raises(storage.InsecurePermissionsError, match=f"{mode:04o}"):
        storage.check_private(tmp_path)


def test_lock_holds_off_another_process(tmp_path: Path) -> None:
    """While one holds the lock, another waits; when it lets go, the other gets it."""
    lock = tmp_path / "lock"
    program = (
        "import sys; from pathlib import Path; from pki import storage\n"
        "print('waiting', flush=True)\n"
        "with storage.exclusive(Path(sys.argv[1])): print('held', flush=True)"
    )
    with storage.exclusive(lock):
        other = subprocess.Popen(
            [sys.executable, "-c", program, lock], stdout=subprocess.PIPE, text=True
        )
        assert other.stdout
        assert other.stdout.readline() == "waiting\n"
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.1)
    assert other.communicate(timeout=10)[0] == "held\n"
