"""Tests of `services.wire.kept`: what is sent, in which records, and when it ends."""

import asyncio
import socket
import ssl
from threading import Event
from typing import Any

import pytest

from services.wire import server
from services.wire.tls import client_context
from tests.services.mesh import Instance, Mesh, Running, Serve
from tests.services.wire.apps import Receive, Send, answer

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
MEGABYTE = 1024 * 1024
START = {"type": "http.response.start", "status": 200, "headers": []}
SHORT = 0.1  # seconds for which a connection may lie idle


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the instance that serves in this module."""
    return mesh.instance("orders")


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the instance that calls in this module."""
    return mesh.instance("storefront")


def connect(running: Running, caller: Instance, callee: Instance) -> ssl.SSLSocket:
    """Return a bare TLS connection, of which one `recv` reads one record at most."""
    plain = socket.create_connection(("127.0.0.1", running.port), 10)
    context = client_context(caller.generation, callee.spiffe_id)
    return context.wrap_socket(plain, server_hostname="localhost")


def read(connection: ssl.SSLSocket, size: int) -> bytes:
    """Return so many bytes, or what came before the end."""
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data


async def hello(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
    """Say which path was asked for."""
    if scope["type"] == "http":
        await answer(send, scope["path"])


def test_head_and_body_are_one_record(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """A small answer arrives whole."""
    with (
        serve(hello, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        for _ in range(2):
            connection.sendall(GET)
            told = connection.recv(65536)
            assert told.startswith(b"HTTP/1.1 200 OK\r\n")
            assert told.endswith(b'\r\n\r\n"/"')


def test_requests_that_come_together_are_answered_in_turn(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """Three in one record; each has its own head and body."""
    asked = b"".join(GET.replace(b" / ", b" /%d " % number) for number in range(3))
    with (
        serve(hello, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(asked)
        for number in range(3):
            told = connection.recv(65536)
            assert told.endswith(b'\r\n\r\n"/%d"' % number)


@pytest.mark.parametrize("kept", [b"", b"Connection: close\r\n"], ids=["kept", "last"])
def test_a_head_that_stands_alone_is_sent(
    orders: Instance, storefront: Instance, serve: Serve, kept: bytes
) -> None:
    """The answer to HEAD has no body to leave with."""
    asked = GET.replace(b"GET", b"HEAD").replace(b"\r\n\r\n", b"\r\n" + kept + b"\r\n")
    with (
        serve(hello, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(asked)
        told = connection.recv(65536)
        assert told.startswith(b"HTTP/1.1 200 OK\r\n")
        assert told.endswith(b"\r\n\r\n")
        if not kept:
            connection.sendall(GET)
            assert connection.recv(65536).endswith(b'"/"')


def test_a_stream_is_sent_as_it_comes(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """The first part goes out with the head, and waits for no second one."""
    go_on = Event()

    async def stream(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send(START)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await asyncio.to_thread(go_on.wait, 10)
        await send({"type": "http.response.body", "body": b"second"})

    with (
        serve(stream, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(GET)
        assert connection.recv(65536).endswith(b"\r\n\r\n5\r\nfirst\r\n")
        go_on.set()
        assert connection.recv(65536) == b"6\r\nsecond\r\n0\r\n\r\n"


def test_a_large_body_is_whole(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """It goes out behind the head, and the next answer behind it."""
    body = bytes(range(256)) * (MEGABYTE // 256)

    async def large(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = [(b"content-length", str(len(body)).encode())]
        await send({**START, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    with (
        serve(large, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(GET * 2)
        for _ in range(2):
            head = connection.recv(65536)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert head.endswith(b"\r\n\r\n")
            assert read(connection, len(body)) == body


def test_who_is_told_to_go_on_is_told_at_once(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """`100 Continue` is no head of an answer (RFC 9110, section 10.1.1)."""

    async def echo(scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(send, (await receive())["body"].decode())

    head = GET.replace(b"GET", b"POST").removesuffix(b"\r\n")
    head += b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    with (
        serve(echo, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(head)
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"abc")
        told = connection.recv(65536) + connection.recv(65536)
        assert told.endswith(b'\r\n\r\n"abc"')


def test_an_answer_that_fails_after_its_head_ends_the_connection(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """The head is told, and that nothing follows."""

    async def fail(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        await send(START)
        raise ZeroDivisionError

    with (
        serve(fail, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(GET)
        told = read(connection, 65536)
        assert told.startswith(b"HTTP/1.1 200 OK\r\n")
        assert told.endswith(b"\r\n\r\n")


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no connection lie idle for longer than a test should take."""
    monkeypatch.setattr(server, "_KEEP_ALIVE", SHORT)


@pytest.mark.usefixtures("short")
def test_an_idle_connection_is_closed(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """Some time after its last answer."""
    with (
        serve(hello, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        for _ in range(3):
            connection.sendall(GET)
            assert connection.recv(65536).endswith(b'"/"')
        assert connection.recv(65536) == b""


@pytest.mark.usefixtures("short")
def test_a_connection_in_use_is_not_idle(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """A timer that was set after the answer before does not end the one under way."""

    async def slow(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/slow":
            await asyncio.sleep(3 * SHORT)
        await answer(send, scope["path"])

    with (
        serve(slow, orders) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(GET)
        assert connection.recv(65536).endswith(b'"/"')
        connection.sendall(GET.replace(b" / ", b" /slow "))
        assert connection.recv(65536).endswith(b'"/slow"')
        assert connection.recv(65536) == b""
