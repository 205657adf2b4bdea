"""Talk with the process manager: a socket from it, and a word when ready (systemd).

systemd hands sockets over from descriptor 3 on (sd_listen_fds(3)) and waits for
`READY=1` on the datagram socket that NOTIFY_SOCKET names (sd_notify(3)). Under another
manager, or none, the variables are absent and nothing is done here.
"""

import os
import socket

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START


def inherited_listener() -> socket.socket | None:
    """Return the one listening socket that systemd opened for this process, if any."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    if os.environ.get("LISTEN_FDS") != "1":
        return None
    listener = socket.socket(fileno=_FIRST_DESCRIPTOR)
    listener.set_inheritable(False)
    return listener


def notify(state: str) -> None:
    """Tell systemd a `state` such as `READY=1`, if it wants to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    # A leading @ stands for the NUL byte of the abstract name space (sd_notify(3)).
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram:
        datagram.connect(address)
        datagram.sendall(state.encode())
