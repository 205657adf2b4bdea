"""Rows about other Pythons: what their OpenSSL makes of new connections.

Servers and load run by this Python, and by those that `--beside` names, which must have
the same packages. Where both ends have OpenSSL 3.5, they agree on X25519MLKEM768.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

from bench.asking import asking
from bench.contestants import PROJECT, Contestant
from bench.rounds import AbsentError, Row, Sample, later
from bench.stand import Stand

_ASK = "import platform, ssl; print(platform.python_version(), ssl.OPENSSL_VERSION)"


def rows(stand: Stand, seconds: float, beside: Sequence[str]) -> Iterator[Row]:
    """Yield the rows, if there is another Python."""
    if not beside:
        return
    pythons = {_version(python): python for python in (*beside, sys.executable)}

    def ask(start: Callable[..., Contestant], name: str) -> Callable[[], Sample]:
        python = pythons[name]

        def made() -> Callable[[], Sample]:
            server = start(f"{start.__name__} {name}", python=python)
            job = stand.token_job(server, fresh=True, seconds=seconds)
            return asking(server, job, python=python)

        return later(made)

    for what, start in (("tokens", stand.token_service), ("hello", stand.hello)):
        yield Row(
            name=f"{what}, a new connection each, both ends by",
            unit="answers per second of CPU",
            ways={f"Python {name}": ask(start, name) for name in pythons},
        )


def _version(python: str) -> str:
    try:
        done = subprocess.run(
            [python, "-c", _ASK],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise AbsentError(f"{python} cannot be run: {error}") from error
    version, name, number, *_ = done.stdout.split()
    return f"{version}, {name} {number}"
