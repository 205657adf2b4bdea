"""A client that sends a request byte for byte: a library would repair its forgeries."""

import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from http.client import HTTPMessage, HTTPResponse
from urllib.parse import urlencode

from pki.identity import SpiffeId
from services.wire.tls import client_context
from tests.services.mesh import Instance

_PATIENCE = 10.0  # seconds

Line = tuple[bytes, bytes]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: HTTPMessage
    body: bytes


def send(  # noqa: PLR0913 - each is one part of a request
    port: int,
    context: ssl.SSLContext,
    path: str,
    *,
    fields: Iterable[Line] = (),
    form: dict[str, str] | None = None,
    token: str | None = None,
) -> Answer:
    """Send one request on a connection of its own; a form makes it a POST."""
    body = urlencode(form).encode() if form else b""
    lines: list[Line] = [(b"Host", b"localhost")]
    if token:
        lines.append((b"Authorization", f"Bearer {token}".encode()))
    if form:
        lines.append((b"Content-Type", b"application/x-www-form-urlencoded"))
        lines.append((b"Content-Length", str(len(body)).encode()))
    head = f"{'POST' if form else 'GET'} {path} HTTP/1.1\r\n".encode()
    head += b"".join(b"%b: %b\r\n" % line for line in [*lines, *fields])
    plain = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    with plain, context.wrap_socket(plain, server_hostname="localhost") as connection:
        connection.sendall(head + b"\r\n" + body)
        response = HTTPResponse(connection)
        response.begin()
        return Answer(response.status, response.headers, response.read())


@dataclass(frozen=True)
class Session:
    """What a connection leaves for the next one."""

    session: ssl.SSLSession | None
    reused: bool


def session_of(
    port: int, context: ssl.SSLContext, earlier: ssl.SSLSession | None
) -> Session:
    """Connect, offering an `earlier` session, and stay until an answer has come."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE)
    with (
        plain,
        context.wrap_socket(
            plain, server_hostname="localhost", session=earlier
        ) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.recv(1)  # tickets of TLS 1.3 come after the handshake
        return Session(connection.session, bool(connection.session_reused))


def as_instance(instance: Instance, expected: SpiffeId) -> ssl.SSLContext:
    """Return a context that shows an instance's certificate to `expected`."""
    return client_context(instance.generation, expected)


def as_nobody(instance: Instance) -> ssl.SSLContext:
    """Return a context without a certificate, that trusts the instance's bundle."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(instance.generation.bundle_path)
    return context
