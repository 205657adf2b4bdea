"""Before anything is touched, each fault of a host is said in one sentence."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.certbound.kit.plugins.module_utils import processes
from ansible_collections.certbound.kit.plugins.modules.preflight import (
    clock_faults,
    directory_faults,
    openssl_faults,
    port_faults,
    python_faults,
    socket_faults,
)

NOW = 1795369000  # November 2026


@pytest.fixture
def listening() -> Iterator[int]:
    """Return a port that this very process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def on(port: int, address: str = "127.0.0.1") -> dict[str, object]:
    return {"name": "orders", "address": address, "port": port}


def test_taken_port_is_named_with_its_holder(listening: int, tmp_path: Path) -> None:
    """A port that another process has is named, and so is the process."""
    (fault,) = port_faults(on(listening), str(tmp_path))
    name = processes.holder_of(listening)
    assert name is not None
    assert fault == (
        f"port {listening} for orders on 127.0.0.1 is taken by "
        f"pid {os.getpid()} ({name.name})"
    )


def test_a_file_that_is_closed_meanwhile_hides_no_other(
    listening: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose files are gone through goes on opening and closing some."""
    found = os.listdir

    def and_one_more(path: str) -> list[str]:
        return [*(["999999"] if path.endswith("/fd") else []), *found(path)]

    monkeypatch.setattr(os, "listdir", and_one_more)
    holder = processes.holder_of(listening)
    assert holder is not None
    assert holder.pid == os.getpid()


def test_taken_port_of_nobody_known(
    listening: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port whose holder this user may not see is still said to be taken."""
    monkeypatch.setattr(
        "ansible_collections.certbound.kit.plugins.modules.preflight.holder_of",
        lambda _: None,
    )
    (fault,) = port_faults(on(listening), str(tmp_path))
    assert fault.endswith("is taken by a process of another user")


def test_port_on_all_addresses_is_taken_too(tmp_path: Path) -> None:
    """A listener on all addresses is found as well."""
    with socket.create_server(("0.0.0.0", 0)) as server:  # noqa: S104 -- the point
        (fault,) = port_faults(on(server.getsockname()[1]), str(tmp_path))
    assert "is taken by pid" in fault


def test_free_port_is_no_fault(tmp_path: Path) -> None:
    """A port that nobody has is fine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert list(port_faults(on(port), str(tmp_path))) == []


def test_own_port_is_no_fault(tmp_path: Path) -> None:
    """A port that a process of this roll-out has is fine; of another, it is not."""
    listen = (
        "import signal, socket; server = socket.create_server(('127.0.0.1', 0));"
        "print(server.getsockname()[1], flush=True); signal.pause()"
    )
    config = tmp_path / "certs" / "services" / "orders" / "config.json"
    with subprocess.Popen(
        [sys.executable, "-c", listen, str(config)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        own = list(port_faults(on(port), str(tmp_path / "certs")))
        other = list(port_faults(on(port), str(tmp_path / "other")))
        process.kill()
    assert own == []
    assert len(other) == 1


def test_foreign_address_is_said(tmp_path: Path) -> None:
    """An address that this host does not have is a mistake in the topology."""
    (fault,) = port_faults(on(8443, "192.0.2.1"), str(tmp_path))
    assert fault == (
        "port 8443 for orders on 192.0.2.1 cannot be used: "
        "this host has no such address"
    )


def test_old_python_is_said() -> None:
    """A Python below what is asked for is named with both versions."""
    (fault,) = python_faults("3.11", (3, 9, 18))
    assert fault.endswith(" is Python 3.9.18, at least 3.11 is needed")
    assert list(python_faults("3.8", (3, 8, 0))) == []


def test_missing_openssl_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without openssl in PATH there are no keys."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (fault,) = openssl_faults()
    assert fault.startswith("there is no openssl command in PATH")


@pytest.mark.parametrize("said", ["OpenSSL 1.0.2k-fips  26 Jan 2017", "LibreSSL 3.3.6"])
def test_other_openssl_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """An openssl that is too old, or another one, is named with its version."""
    command = tmp_path / "openssl"
    command.write_text(f"#!/bin/sh\necho '{said}'\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (fault,) = openssl_faults()
    assert fault == f"{command} is {said}, at least OpenSSL 1.1.1 is needed"


def test_present_openssl_is_no_fault() -> None:
    """The openssl of this machine will do."""
    assert list(openssl_faults()) == []


def test_file_in_the_way_is_said(tmp_path: Path) -> None:
    """A root below a file cannot be made."""
    (tmp_path / "file").write_text("")
    root = str(tmp_path / "file" / "certs")
    (fault,) = directory_faults(root)
    assert fault == f"{tmp_path}/file is no directory, and {root} is to be made in it"


def test_unwritable_directory_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root in a directory of somebody else's cannot be made."""
    # Root may write everywhere, so the question itself is answered here.
    monkeypatch.setattr(os, "access", lambda *_: False)
    (fault,) = directory_faults(str(tmp_path / "certs"))
    assert fault.startswith(f"{tmp_path} cannot be written by this user")


def test_long_socket_path_is_said(tmp_path: Path) -> None:
    """A socket's path has an end that a file's has not."""
    (fault,) = socket_faults(str(tmp_path / ("x" * 108)))
    assert "/run/supervisor.sock is longer than 10" in fault


def test_lost_clock_is_said() -> None:
    """A clock that has forgotten the year is named before anything is issued."""
    (fault,) = clock_faults(0, None, 120)
    assert fault == "this host's clock stands in the year 1970: set it first"


@pytest.mark.parametrize(("offset", "side"), [(3600, "ahead of"), (-3600, "behind")])
def test_other_clock_is_said(offset: int, side: str) -> None:
    """A clock far from the controller's is named with its distance."""
    (fault,) = clock_faults(NOW + offset, NOW, 120)
    assert fault == (
        f"this host's clock is 3600 s {side} the controller's, at most 120 s will do"
    )
    assert list(clock_faults(NOW + 100, NOW, 120)) == []
