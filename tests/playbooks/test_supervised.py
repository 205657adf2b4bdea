"""Processes run under a supervisord of their own, and only what differs is touched."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.certbound.kit.plugins.module_utils.processes import Ours
from ansible_collections.certbound.kit.plugins.module_utils.supervision import (
    release_of,
    wanted_configuration,
)
from ansible_collections.certbound.kit.plugins.module_utils.supervisor import (
    Places,
    SupervisorError,
    compare,
    configuration,
)
from ansible_collections.certbound.kit.plugins.modules.supervised import (
    absent,
    ours_of,
    present,
)

from tests.playbooks.rolling import free_ports

LISTEN = (
    "import signal, socket, sys; port = int(open(sys.argv[1]).read());"
    "server = socket.create_server(('127.0.0.1', port)); signal.pause()"
)


class Supervised:
    """What the module is given, and what runs."""

    def __init__(self, root: Path) -> None:
        """Describe two processes that listen and do no more."""
        self.root = root
        self.names = ["one", "two"]
        self.program = LISTEN
        self.ports = dict(zip(("one", "two", "three"), free_ports(3), strict=True))
        for name, port in self.ports.items():
            (root / name).write_text(str(port))
        self.sources: list[str] = []
        self.wait = 20

    @property
    def params(self) -> dict[str, Any]:
        """The module's parameters."""
        return {
            "root": str(self.root),
            "interpreter": sys.executable,
            "arguments": ["-c", self.program],
            "chdir": str(self.root),
            "sources": self.sources,
            "processes": [
                {
                    "name": name,
                    "config": str(self.root / name),
                    "address": "127.0.0.1",
                    "port": self.ports[name],
                }
                for name in self.names
            ],
            "wait": self.wait,
        }

    def up(self, *, check: bool = False) -> dict[str, list[str]]:
        """Have the processes run."""
        return present(self.params, check=check)

    def down(self, *, check: bool = False) -> dict[str, list[str]]:
        """Have no process."""
        return absent(self.params, check=check)

    def pids(self) -> dict[str, int]:
        """Return who runs, by the last part of the last argument."""
        return {
            Path(process.arguments[-1]).name: process.pid
            for process in ours_of(self.params).find()
        }


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    """Return a place for processes, and leave none of them."""
    supervised = Supervised(tmp_path)
    yield supervised
    supervised.down()


@pytest.mark.rollout
def test_life_of_two_processes(supervised: Supervised) -> None:
    """Start, look again, add, remove and stop: each touches what differs alone."""
    assert supervised.up(check=True)["started"] == ["one", "two"]
    assert supervised.pids() == {}
    assert supervised.up() == {"started": ["one", "two"], "stopped": []}
    first = supervised.pids()
    assert set(first) == {"one", "two", "supervisord.conf"}

    assert supervised.up() == {"started": [], "stopped": []}
    assert supervised.pids() == first

    supervised.names = ["two", "three"]
    assert supervised.up(check=True) == {"started": ["three"], "stopped": ["one"]}
    assert supervised.up() == {"started": ["three"], "stopped": ["one"]}
    second = supervised.pids()
    assert set(second) == {"two", "three", "supervisord.conf"}
    assert second["two"] == first["two"]

    assert supervised.down(check=True)["stopped"] == ["three", "two"]
    assert supervised.pids() == second
    assert supervised.down()["stopped"] == ["three", "two"]
    assert supervised.pids() == {}
    assert supervised.down()["stopped"] == []


@pytest.mark.rollout
def test_killed_supervisor_is_replaced(supervised: Supervised) -> None:
    """If supervisord dies alone, what it leaves behind is not run twice."""
    supervised.up()
    before = supervised.pids()
    os.kill(before["supervisord.conf"], signal.SIGKILL)
    assert supervised.up()["started"] == ["one", "two"]
    after = supervised.pids()
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())


@pytest.mark.rollout
def test_changed_code_restarts(supervised: Supervised, tmp_path: Path) -> None:
    """If the code that runs is another, the processes are started anew."""
    code = tmp_path / "code"
    code.mkdir()
    (code / "a.py").write_text("1")
    supervised.sources = [str(code)]
    supervised.up()
    before = supervised.pids()
    (code / "a.py").write_text("2")
    assert supervised.up()["started"] == ["one", "two"]
    assert supervised.pids()["one"] != before["one"]


@pytest.mark.rollout
def test_process_that_dies_is_said_with_its_last_words(supervised: Supervised) -> None:
    """What does not stay up fails the task, with the end of its log."""
    supervised.program = "raise SystemExit('no such luck')"
    with pytest.raises(SupervisorError, match=r"one does not run; .*no such luck"):
        supervised.up()


@pytest.mark.rollout
def test_process_that_does_not_listen_is_said(supervised: Supervised) -> None:
    """What runs without opening its port fails the task after a while."""
    supervised.program = "print('busy', flush=True); import signal; signal.pause()"
    supervised.wait = 2
    with pytest.raises(SupervisorError) as caught:
        supervised.up()
    assert str(caught.value) == "one does not listen after 2 s; its log ends: busy"


def test_release_follows_the_code(tmp_path: Path) -> None:
    """The release changes with Python code, by content and place, and nothing else."""
    (tmp_path / "a.py").write_text("1")
    first = release_of([str(tmp_path)])
    (tmp_path / "note.txt").write_text("1")
    assert release_of([str(tmp_path)]) == first
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert release_of([str(tmp_path)]) != first


def test_odd_paths_are_written_safely(tmp_path: Path) -> None:
    """Spaces and percent signs in paths reach supervisord as they are."""
    written = configuration(
        Places(str(tmp_path)),
        [{"name": "one", "command": ["/a b/python", "100%"]}],
        directory="/a b",
        release="r",
    )
    assert "command='/a b/python' 100%%\n" in written


def test_comparison_names_programs(tmp_path: Path) -> None:
    """Two configurations are compared by program."""

    def written(**programs: str) -> str:
        return configuration(
            Places(str(tmp_path)),
            [{"name": name, "command": [c]} for name, c in programs.items()],
            directory="/",
            release="r",
        )

    change = compare(written(a="1", b="1"), written(b="2", c="1"))
    assert change == ({"c"}, {"b"}, {"a"})


@pytest.mark.rollout
def test_run_that_died_halfway_is_taken_up(supervised: Supervised) -> None:
    """A configuration that was written, and never acted on, is acted on."""
    supervised.up()
    supervised.names = ["one", "two", "three"]
    places = Places(str(supervised.root))
    Path(places.configuration).write_text(
        wanted_configuration(supervised.params, places)
    )
    assert supervised.up() == {"started": ["three"], "stopped": []}
    assert "three" in supervised.pids()


def run_python(program: str, *arguments: str) -> int:
    """Start a Python that announces itself on a pipe, and wait until it has."""
    reader, writer = os.pipe()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-c", program.replace("READY", str(writer)), *arguments],
        dict(os.environ),
        file_actions=[(os.POSIX_SPAWN_DUP2, writer, writer)],
    )
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    return pid


DEAF = (
    "import os, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "os.write(READY, b'.'); signal.pause()"
)


def test_deaf_process_is_made_to_end(tmp_path: Path) -> None:
    """A process of ours that ignores the polite request is ended all the same."""
    pid = run_python(DEAF, str(tmp_path / "deaf"))
    (found,) = Ours(str(tmp_path), [["-c", argument_of(pid)]]).find()
    assert found.pid == pid
    ours = Ours(str(tmp_path), [found.arguments[1:-1]])
    assert ours.wait_gone(0.1) == [found]
    assert ours.stop(0.1) == []
    os.waitpid(pid, 0)


def test_reader_of_our_files_is_not_ours(supervised: Supervised) -> None:
    """Whoever has a file of ours open, an editor or a pager, is left alone."""
    pid = run_python(DEAF, str(supervised.root / "log" / "one.log"))
    assert ours_of(supervised.params).find() == []
    assert supervised.down()["stopped"] == []
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def argument_of(pid: int) -> str:
    """Return the program that a Python was given."""
    line = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    return line.split("\0")[2]
