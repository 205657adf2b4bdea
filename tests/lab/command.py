"""Commands of this machine: run one, get its output, or an error that names it."""

import os
import subprocess
from collections.abc import Sequence

from tests.lab.errors import LabError

# Root's PATH lacks these on some machines, and `ip` or `mkfs.ext4` are nowhere else.
ENVIRONMENT = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}


def run(*command: str, stdin: str = "") -> str:
    """Run a command to its end and return what it printed, without the last newline.

    Raises:
        LabError: it failed; the message holds what it said.
    """
    done = attempt(command, stdin=stdin)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise LabError(f"{' '.join(command)}: exit {done.returncode}: {said}")
    return done.stdout.rstrip("\n")


def attempt(
    command: Sequence[str], *, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail, and return how it went."""
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRONMENT,
    )
