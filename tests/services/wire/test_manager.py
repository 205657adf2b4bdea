"""A process manager that hands over a socket and waits for a word gets its due."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from services.wire.manager import inherited_listener, notify
from tests.services.mesh import Mesh, Serve


async def _app(_scope: object, _receive: object, _send: object) -> None:
    """Answer nothing: these tests look at the start alone."""


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """Return the end on which systemd would listen."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(tmp_path / "notify"))
    listening.settimeout(10)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return listening


def test_a_server_says_when_it_is_ready_and_when_it_stops(
    manager: socket.socket, mesh: Mesh, serve: Serve
) -> None:
    """READY=1 comes once the port is open, STOPPING=1 when the end begins."""
    with manager:
        with serve(_app, mesh.instance("orders")):
            assert manager.recv(100) == b"READY=1"
        assert manager.recv(100) == b"STOPPING=1"


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that begins with @ is no path."""
    name = f"certbound-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        notify("READY=1")
        assert listening.recv(100) == b"READY=1"


def test_without_a_manager_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that nobody manages starts all the same."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")


def test_sockets_for_another_process_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A child that inherited the environment does not take its parent's socket."""
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert inherited_listener() is None


def test_two_sockets_are_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of two would be ours nobody said, so neither is taken."""
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", "2")
    assert inherited_listener() is None


def test_the_socket_that_was_opened_for_us_is_taken() -> None:
    """Descriptor 3 becomes the listener, whatever the configuration says."""
    script = (
        "import os\n"
        "os.environ['LISTEN_PID'] = str(os.getpid())\n"
        "from services.wire.manager import inherited_listener\n"
        "print(inherited_listener().getsockname()[1])\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hand_over() -> None:
            os.dup2(listener.fileno(), 3)

        done = subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "LISTEN_FDS": "1"},
            preexec_fn=hand_over,
            close_fds=False,
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == listener.getsockname()[1]
