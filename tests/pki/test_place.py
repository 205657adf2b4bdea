"""Where a ledger is: every URL that is taken, and every one that is not."""

import json
from pathlib import Path

import pytest

from pki import place
from pki.place import Place, PlaceError, PlaceFixedError

SOCKET = "postgresql://certbound@/ledger?host=/run/postgresql"
REMOTE = "postgresql://certbound@db.internal:5433/ledger"


def test_socket() -> None:
    """Host, database and user reach libpq as they are."""
    assert Place(SOCKET).parameters() == {
        "host": "/run/postgresql",
        "dbname": "ledger",
        "user": "certbound",
    }


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_this_host_needs_no_tls(host: str) -> None:
    """Nobody listens on the loopback address."""
    told = Place(f"postgresql://{host}/ledger").parameters()
    assert told == {"host": host.strip("[]"), "dbname": "ledger"}


def test_other_host_is_verified() -> None:
    """By the system's CAs if the URL names no other; nothing switches it off."""
    told = Place(REMOTE).parameters()
    assert (told["sslmode"], told["sslrootcert"]) == ("verify-full", "system")
    assert (told["host"], told["port"]) == ("db.internal", "5433")
    told = Place(f"{REMOTE}?sslrootcert=/etc/ca.pem").parameters()
    assert (told["sslmode"], told["sslrootcert"]) == ("verify-full", "/etc/ca.pem")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("mysql://db/ledger", "not in 'mysql'"),
        ("postgresql://me:secret@db/ledger", "into a file"),
        ("postgresql://db/ledger?sslmode=disable", "sslmode"),
        ("postgresql://db/ledger#x", "not in a URL"),
        ("postgresql://db/", "no database"),
        ("postgresql://db/a/b", "no database"),
        ("postgresql:///ledger", "a host"),
        ("postgresql://db/ledger?host=/run", "a host"),
        ("postgresql:///ledger?host=db", "a host"),
        ("postgresql://db:x/ledger", "cannot be read"),
        ("postgresql://db/ledger?x", "cannot be read"),
    ],
)
def test_other_url_is_refused(url: str, why: str) -> None:
    """The message says what is wrong, and never a password."""
    with pytest.raises(PlaceError, match=why) as refused:
        Place(url).parameters()
    assert "secret" not in str(refused.value)


def test_password_comes_from_a_file(tmp_path: Path) -> None:
    """One line, without its end."""
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("correct horse\n")
    assert Place(SOCKET, file).parameters()["password"] == "correct horse"


@pytest.mark.parametrize("content", ["", "\n", "two\nlines\n"])
def test_other_content_is_refused(tmp_path: Path, content: str) -> None:
    """It is no password; what it is, the message does not say."""
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text(content)
    with pytest.raises(PlaceError, match="one line"):
        Place(SOCKET, file).parameters()


def test_absent_password_is_refused(tmp_path: Path) -> None:
    """A file that is named must be there."""
    with pytest.raises(PlaceError, match="FileNotFoundError"):
        Place(SOCKET, tmp_path / "absent").parameters()


def test_document_is_written_once(tmp_path: Path) -> None:
    """Private, and the same again changes nothing; the password's file may move."""
    path = tmp_path / "ledger.json"
    assert place.settle(path, Place(SOCKET))
    assert not place.settle(path, Place(SOCKET))
    assert place.read(path) == Place(SOCKET)
    assert path.stat().st_mode & 0o777 == 0o600
    file = tmp_path / "password"
    file.touch(0o600)
    file.write_text("x")
    assert place.settle(path, Place(SOCKET, file))
    assert place.read(path) == Place(SOCKET, file)


def test_check_writes_nothing(tmp_path: Path) -> None:
    """It says what would change, and refuses what would be refused."""
    path = tmp_path / "ledger.json"
    assert place.settle(path, Place(SOCKET), check=True)
    assert not path.exists()
    path.with_suffix(".sqlite").touch()
    with pytest.raises(PlaceFixedError):
        place.settle(path, Place(SOCKET), check=True)


def test_ledger_stays_where_it_is(tmp_path: Path) -> None:
    """Another database, or one beside a file, would give a serial twice."""
    path = tmp_path / "ledger.json"
    place.settle(path, Place(SOCKET))
    with pytest.raises(PlaceFixedError, match="run/postgresql"):
        place.settle(path, Place(REMOTE))
    path.unlink()
    path.with_suffix(".sqlite").touch()
    with pytest.raises(PlaceFixedError, match=r"ledger\.sqlite"):
        place.settle(path, Place(SOCKET))
    assert not path.exists()


@pytest.mark.parametrize("said", [{}, {"url": SOCKET, "user": "x"}, {"url": 1}])
def test_other_document_is_refused(tmp_path: Path, said: object) -> None:
    """Nothing is guessed."""
    path = tmp_path / "ledger.json"
    path.write_text(json.dumps(said))
    with pytest.raises(PlaceError, match=r"ledger\.json"):
        place.read(path)
