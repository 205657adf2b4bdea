"""A newcomer's mistake gets one sentence from the set-up, and nothing else happens.

The script is the real one; what it finds in PATH is made up for each mistake.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEM = "/usr/bin:/bin"
BROKEN = "exit 127"
NAMES = ("python3.13", "python3.12", "python3.11", "python3", "python")


def python(version: str, *, venv: bool = True, pip: str = "exit 0") -> str:
    """Return a shell script that behaves like a Python, as far as it is asked."""
    new_enough = tuple(map(int, version.split("."))) >= (3, 11)
    return f"""
case "$*" in
    *print*) echo {version} ;;
    *version_info*) exit {0 if new_enough else 1} ;;
    *ensurepip*) exit {0 if venv else 1} ;;
    "-m venv"*) mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
    "-m pip --version") echo pip 26 ;;
    "-m pip install"*) {pip} ;;
esac
"""


class Setup:
    """The script in a directory of its own, with a PATH of its own."""

    def __init__(self, project: Path, base: Path) -> None:
        """Take the script, and hide every Python of this machine."""
        self.base = base
        (base / "bin").mkdir()
        shutil.copy(project / ".ci" / "setup", base)
        (base / "requirements.lock").write_text("")
        for name in NAMES:
            self.has(name, BROKEN)

    def has(self, name: str, script: str) -> None:
        """Put a command into PATH."""
        path = self.base / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        return subprocess.run(
            ["./setup", "requirements.lock", "stamp"],
            cwd=self.base,
            env={"PATH": f"{self.base / 'bin'}:{SYSTEM}", **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def refusal(self, **environment: str) -> str:
        """Run the script, and return the one sentence it says."""
        done = self.run(**environment)
        assert done.returncode == 1
        assert not (self.base / "stamp").exists()
        (line,) = done.stderr.splitlines()
        assert line.startswith("certbound: ")
        return line.removeprefix("certbound: ")


@pytest.fixture
def setup(project: Path, tmp_path: Path) -> Setup:
    """Return the set-up on a machine without any working Python."""
    return Setup(project, tmp_path)


def test_everything_right_leaves_a_stamp(setup: Setup) -> None:
    """With a Python and an index, the set-up ends silently and is remembered."""
    setup.has("python3.12", python("3.12.1"))
    done = setup.run()
    assert done.returncode == 0, done.stderr
    assert (setup.base / "stamp").exists()
    assert done.stdout == "Setting up .venv with Python 3.12.1, once.\n"
    assert done.stderr == ""


def test_present_environment_is_kept(setup: Setup) -> None:
    """A .venv that works is not made again."""
    setup.has("python3.12", python("3.12.1"))
    setup.run()
    assert setup.run().stdout == ""


def test_broken_shims_are_passed_over(setup: Setup) -> None:
    """A name that a version manager answers with an error is no Python."""
    setup.has("python3", python("3.11.7"))
    assert "Python 3.11.7" in setup.run().stdout


def test_old_python_is_said(setup: Setup) -> None:
    """Where every Python is too old, what was found and what is needed is said."""
    setup.has("python3", python("3.9.2"))
    assert setup.refusal().startswith(
        "Python 3.11 or later is needed, but python3 is 3.9.2: install one, or"
    )


def test_no_python_is_said(setup: Setup) -> None:
    """Where there is no Python at all, that is said."""
    assert "but there is no python: install one" in setup.refusal()


def test_wrong_choice_of_python_is_said(setup: Setup) -> None:
    """A PYTHON that does not exist is named."""
    setup.has("python3.12", python("3.12.1"))
    said = setup.refusal(PYTHON="/nowhere/python")
    assert "there is no python at /nowhere/python" in said


def test_missing_venv_module_is_said(setup: Setup) -> None:
    """Where the distribution splits off venv, its package is named."""
    setup.has("python3", python("3.11.2", venv=False))
    assert setup.refusal() == (
        "Python 3.11.2 (python3) comes without its venv module: install it "
        "(on Debian and Ubuntu: apt install python3.11-venv)"
    )


PIP_SAYS = {
    "no network": (
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\n"
            "ERROR: No matching distribution found for click==8.5.1"
        ),
        "pip cannot reach its package index, or finds nothing there",
    ),
    "an empty index": (
        (
            "ERROR: Could not find a version that satisfies the requirement "
            "click==8.5.1 (from versions: none)\n"
            "ERROR: No matching distribution found for click==8.5.1"
        ),
        "pip cannot reach its package index, or finds nothing there",
    ),
    "no wheel": (
        (
            "ERROR: Could not find a version that satisfies the requirement "
            "uvloop==0.23 (from versions: 0.1, 0.2)\n"
            "ERROR: No matching distribution found for uvloop==0.23"
        ),
        "there is no wheel of uvloop==0.23 for Python 3.12.1 on ",
    ),
    "another hash": (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.",
        "a downloaded package is not the one requirements.lock names by hash",
    ),
    "an unknown certificate": (
        "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'))",
        "pip does not trust the certificate of the package index",
    ),
    "a full disk": (
        "ERROR: Could not install packages: [Errno 28] No space left on device",
        "the disk is full",
    ),
    "something else": (
        "ERROR: the moon is in the wrong phase",
        "pip failed: ERROR: the moon is in the wrong phase",
    ),
}


@pytest.mark.parametrize("reason", PIP_SAYS)
def test_what_stops_pip_is_said(setup: Setup, reason: str) -> None:
    """What pip says in many lines is told in one, and the log is named."""
    printed, said = PIP_SAYS[reason]
    (setup.base / "printed").write_text(printed + "\n")
    setup.has("python3.12", python("3.12.1", pip="cat printed; exit 1"))
    sentence = setup.refusal()
    assert sentence.startswith(said)


def test_make_prints_its_targets(project: Path) -> None:
    """`make` alone prints every target with what it is for."""
    done = subprocess.run(
        ["make", "--no-print-directory"],
        cwd=project,
        env=os.environ | {"MAKEFLAGS": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    printed = {line.split()[1] for line in done.stdout.splitlines()}
    makefile = (project / "Makefile").read_text()
    _, _, phony = makefile.partition(".PHONY: ")
    assert printed == set(phony.splitlines()[0].split())
    assert printed >= {"up", "down", "test", "test-quick", "check"}
