"""Look at a live port over TLS: which certificate is served, and is a stranger refused.

With the standard library and the host's own OpenSSL, so that it does not depend on what
is being rolled out. Who looks at one port has become the owner of its identity first.
"""

from __future__ import annotations

import http.client
import os
import re
import socket
import ssl
import time
from typing import Any, Iterator

from .owner import acting_as

_TIMEOUT = 5.0  # seconds
_POLL = 0.1
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_GET = b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n"


class NotServedError(Exception):
    """A port does not serve what it should, or serves whom it should not."""


def serial_of(generation: str) -> str:
    """Return the serial of the generation that a link leads to: it is its name."""
    return os.path.basename(os.path.realpath(generation))


def wait_served(process: dict[str, Any], name: str, seconds: float) -> str:
    """Return the serial that a process serves, once it is that of its generation.

    Then also see that a caller without a certificate is refused.

    Raises:
        NotServedError: neither came about in time; the message says what was seen.
    """
    identity = process["document"]["identity"]
    wanted = serial_of(identity)
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen = _answered(process, name, identity)
            if seen == wanted:
                break
            fault = f"it serves {seen}, expected {wanted}"
        except (OSError, NotServedError) as error:
            fault = str(error)
        if time.monotonic() > deadline:
            raise NotServedError(f"{where(process)}: {fault}")
        time.sleep(_POLL)
    _check_stranger_is_refused(process, name, identity)
    return wanted


def served_by(
    identities: list[dict[str, Any]], processes: list[dict[str, Any]], seconds: float
) -> Iterator[tuple[str, str]]:
    """Yield the name of each process and the serial that it serves.

    Raises:
        NotServedError: as `wait_served`.
        NoSuchUserError: the owner of a process is not there.
    """
    names = {one["directory"]: one["dns_names"][0] for one in identities}
    for process in processes:
        name = names[os.path.dirname(process["config"])]
        with acting_as(process["owner"]):
            serial = wait_served(process, name, seconds)
        yield process["name"], serial


def presented(place: dict[str, Any], name: str, identity: str) -> str:
    """Return the serial that a port presents to the owner of `identity`.

    `place` has its `address` and `port`; what answers there is not asked for anything,
    so that it need not be a process of ours.

    Raises:
        OSError: nobody listens, or not somebody of `name` whom `identity` trusts.
    """
    with _connect(_context(identity), place, name) as tls:
        serial = (tls.getpeercert() or {}).get("serialNumber", "")
    return f"{int(str(serial), 16):x}"


def fetch(process: dict[str, Any], name: str, path: str) -> str:
    """Return what a process answers to its own identity's GET of `path`.

    Raises:
        NotServedError: it answers something else than 200.
        OSError: it does not answer.
    """
    with _connect(_context(process["document"]["identity"]), process, name) as tls:
        tls.sendall(_GET % (path.encode(), name.encode()))
        answer = http.client.HTTPResponse(tls)
        try:
            answer.begin()
            text = answer.read().decode("utf-8", "replace")
        except http.client.HTTPException as error:
            raise NotServedError(f"{where(process)}: {error!r}") from None
    if answer.status != http.client.OK:
        raise NotServedError(f"{where(process)} answered {answer.status} at {path}")
    return text


def where(process: dict[str, Any]) -> str:
    """Return a process and its port, for messages."""
    return "{name} at {address} port {port}".format(**process)


def _answered(process: dict[str, Any], name: str, identity: str) -> str:
    """Return the serial served to the identity's owner, whose call was answered."""
    with _connect(_context(identity), process, name) as tls:
        serial = (tls.getpeercert() or {}).get("serialNumber", "")
        # In TLS 1.3 the server's verdict on our certificate comes after the handshake.
        if not _STATUS.match(_ask(tls, name)):
            raise NotServedError("no HTTP answer over mutual TLS")
    return f"{int(str(serial), 16):x}"


def _check_stranger_is_refused(
    process: dict[str, Any], name: str, identity: str
) -> None:
    context = ssl.create_default_context(cafile=os.path.join(identity, "bundle.pem"))
    try:
        with _connect(context, process, name) as tls:
            answer = _ask(tls, name)
    except ssl.SSLError as error:
        if "CERTIFICATE_REQUIRED" in str(error) or "HANDSHAKE_FAILURE" in str(error):
            return
        raise NotServedError(
            f"{where(process)}: a caller without certificate met {error}"
        ) from None
    except OSError as error:
        raise NotServedError(
            f"{where(process)}: a caller without certificate met {error}"
        ) from None
    raise NotServedError(
        f"{where(process)} answered a caller without certificate: {answer[:40]!r}"
    )


def _context(identity: str) -> ssl.SSLContext:
    """Return what presents an identity, and trusts its bundle alone."""
    context = ssl.create_default_context(cafile=os.path.join(identity, "bundle.pem"))
    context.load_cert_chain(
        os.path.join(identity, "certificate.pem"), os.path.join(identity, "key.pem")
    )
    return context


def _connect(
    context: ssl.SSLContext, process: dict[str, Any], name: str
) -> ssl.SSLSocket:
    place = process["address"], process["port"]
    connection = socket.create_connection(place, _TIMEOUT)
    try:
        return context.wrap_socket(connection, server_hostname=name)
    except BaseException:
        connection.close()
        raise


def _ask(tls: ssl.SSLSocket, name: str) -> bytes:
    tls.sendall(_GET % (b"/", name.encode()))
    return tls.recv(1024)
