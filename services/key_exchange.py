"""Which group of key exchange this host agrees on with a port (TLS 1.3, RFC 8446).

Python's `ssl` cannot tell before 3.15, so the host's `openssl` command is asked. It
tells what holds for our processes too only if it is the OpenSSL that Python has; if it
is another, or absent, or says nothing, the group is unknown.
"""

import re
import ssl
import subprocess
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"
_TIMEOUT = 5.0  # seconds
# OpenSSL 3.2 and later name the group; earlier ones only the kind of the server's key.
_GROUP = re.compile(
    r"^(?:Negotiated TLS1\.3 group: |(?:Server|Peer) Temp Key: )([\w-]+)", re.MULTILINE
)


def group_agreed(
    place: tuple[str, int], name: str, trust: Path, files: tuple[Path, Path]
) -> str:
    """Return the group, such as X25519MLKEM768, or `UNKNOWN`.

    Args:
        place: address and port.
        name: the name that the server is called by.
        trust: PEM file of the roots.
        files: certificate chain and private key of the caller.
    """
    if _version("openssl", "version") != ssl.OPENSSL_VERSION.split(" (")[0]:
        return UNKNOWN
    address, port = place
    where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    said = _said(
        *("openssl", "s_client", "-connect", where, "-servername", name),
        *("-CAfile", str(trust), "-cert", str(files[0]), "-key", str(files[1])),
    )
    found = _GROUP.search(said)
    return found[1] if found else UNKNOWN


@cache
def _version(*command: str) -> str:
    return _said(*command).split(" (")[0].strip()


def _said(*command: str) -> str:
    try:
        return subprocess.run(  # noqa: S603 - a command of ours and places
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
