"""The base: a Debian root that hosts of one release share, built once and cached.

Hosts mount it read-only below their own disk. It is known by a digest of its recipe: a
change of the recipe makes a new base, and nothing else does.
"""

import fcntl
import hashlib
import shutil
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.lab import command, mirror
from tests.lab.errors import LabError
from tests.lab.places import HERE, Places

Say = Callable[[str], None]

# What a minimal installation with SSH has; faketime is the lab's, for wrong clocks, and
# softhsm2 stands for the hardware in which a CA may have its key.
_PACKAGES = (
    "ca-certificates",
    "dbus",
    "faketime",
    "iproute2",
    "openssh-server",
    "openssl",
    "python3",
    "softhsm2",
    "sudo",
    "systemd",
    "systemd-sysv",
)
_CUSTOMISE = HERE / "customise.sh"
_OPTIONS = (
    "--mode=root",
    "--variant=minbase",
    f"--include={','.join(_PACKAGES)}",
    '--aptopt=Acquire::Languages "none"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
)
_LAST_WORDS = 15  # lines of a failed build that are shown


def directory(places: Places, release: str) -> Path:
    """Return where the base of a release lies, or will."""
    recipe = "\n".join((release, *_OPTIONS)).encode() + _CUSTOMISE.read_bytes()
    return places.bases / f"{release}-{hashlib.sha256(recipe).hexdigest()[:12]}"


def ensure(places: Places, release: str, say: Say) -> Path:
    """Return the base of a release, building it if it is not there yet.

    Raises:
        LabError: it could not be built.
    """
    base = directory(places, release)
    if base.exists():
        return base
    places.bases.mkdir(parents=True, exist_ok=True)
    with _alone(places.bases / "lock"):
        if not base.exists():
            _build(base, release, say)
    return base


def _build(base: Path, release: str, say: Say) -> None:
    started = time.monotonic()
    sources = mirror.sources(release)
    say(f"{release}: building its base, once (about a minute)")
    partial = base.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    last = deque[str](maxlen=_LAST_WORDS)
    command_line = [
        "mmdebstrap",
        *_OPTIONS,
        f"--customize-hook={_CUSTOMISE}",
        release,
        str(partial),
        *sources,
    ]
    with subprocess.Popen(
        command_line,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=command.ENVIRONMENT,
    ) as process:
        for line in process.stderr or ():
            last.append(line)
            if line.startswith("I: "):
                spent = time.monotonic() - started
                say(f"{release}: {spent:3.0f} s  {line[3:].strip()}")
    if process.returncode:
        shutil.rmtree(partial, ignore_errors=True)
        raise LabError(f"{release}: the base could not be built\n{''.join(last)}")
    partial.rename(base)
    say(f"{release}: built in {time.monotonic() - started:.0f} s, kept in {base}")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Let one process at a time build."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
