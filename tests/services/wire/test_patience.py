"""Tests of `services.wire.patience`, and of the limit on the handshake."""

import asyncio
import socket
import ssl
from typing import Any

import pytest

from services.wire import patience, server
from services.wire.server import Loop, Parser
from services.wire.tls import client_context
from tests.services.mesh import Instance, Mesh, Running, Serve, until
from tests.services.wire.apps import mirror

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEADER = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: "
BOTH = pytest.mark.parametrize("http", ["h11", "httptools"])


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the instance that serves in this module."""
    return mesh.instance("orders")


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the instance that calls in this module."""
    return mesh.instance("storefront")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a head no longer than a test should take."""
    monkeypatch.setattr(patience, "HEAD_SECONDS", 0.05)


def connect(running: Running, caller: Instance, callee: Instance) -> ssl.SSLSocket:
    """Return a bare TLS connection."""
    plain = socket.create_connection(("127.0.0.1", running.port), 10)
    context = client_context(caller.generation, callee.spiffe_id)
    return context.wrap_socket(plain, server_hostname="localhost")


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return why heads were refused."""
    return [
        record.__dict__["certbound_fields"]["reason"]
        for record in caplog.records
        if record.getMessage() == "http.head_refused"
    ]


@BOTH
@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc"])
@pytest.mark.usefixtures("impatient")
def test_a_head_that_does_not_end_is_given_up(
    storefront: Instance,
    serve: Serve,
    http: Parser,
    sent: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A peer that says nothing, or stops within a head, is hung up on."""
    orders = storefront.mesh.instance("orders")
    with (
        serve(mirror, orders, http=http) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(sent)
        assert connection.recv(65536) == b""
    assert reasons(caplog) == ["not complete after 0.05 s"]


@BOTH
def test_a_later_head_has_its_limit_too(
    orders: Instance,
    storefront: Instance,
    serve: Serve,
    http: Parser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a kept connection the time runs from the first byte of the next request."""
    with (
        serve(mirror, orders, http=http) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(patience, "HEAD_SECONDS", 0.05)
        connection.sendall(b"G")
        while connection.recv(65536):
            pass


@BOTH
def test_an_answered_connection_may_rest(
    orders: Instance, storefront: Instance, serve: Serve, http: Parser
) -> None:
    """Between requests it is uvicorn's timer that counts, and no other."""
    with (
        serve(mirror, orders, http=http) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(REQUEST)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        (kept,) = running.server.server_state.connections
        assert isinstance(kept, patience._Patience)
        until(lambda: kept._deadline is None)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_head_without_end_is_cut_off(
    orders: Instance,
    storefront: Instance,
    serve: Serve,
    loop: Loop,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A header that goes on and on is refused long before it fills the memory."""
    with (
        serve(mirror, orders, http="httptools", loop=loop) as running,
        connect(running, storefront, orders) as connection,
        pytest.raises(OSError, match=r"Broken pipe|reset|EOF"),
    ):
        send_without_end(connection)
    assert reasons(caplog) == ["larger than 65536 bytes"]


def test_h11_cuts_a_head_off_by_itself(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """The other parser has a limit of its own, and says so."""
    with (
        serve(mirror, orders, http="h11") as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(HEADER + b"x" * 65536)
        assert connection.recv(65536).startswith(b"HTTP/1.1 400")


POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"


async def reading(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole body, then answer how long it was."""
    if scope["type"] != "http":
        return
    length, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


def body_reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return why bodies were refused."""
    return [
        record.__dict__["certbound_fields"]["reason"]
        for record in caplog.records
        if record.getMessage() == "http.body_refused"
    ]


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a body no longer than a test should take."""
    monkeypatch.setattr(patience, "BODY_SECONDS", 0.05)


@BOTH
@pytest.mark.parametrize("sent", [b"", b"half"])
@pytest.mark.usefixtures("brief")
def test_a_body_that_does_not_go_on_is_given_up(
    storefront: Instance,
    serve: Serve,
    http: Parser,
    sent: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A peer that announces a body and does not send it is hung up on."""
    orders = storefront.mesh.instance("orders")
    with (
        serve(reading, orders, http=http) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(POST + b"\r\n" + sent)
        assert connection.recv(65536) == b""
    (reason,) = body_reasons(caplog)
    assert "bytes in 0.05 s" in reason


@BOTH
@pytest.mark.usefixtures("brief")
def test_a_body_that_trickles_is_given_up(
    orders: Instance, storefront: Instance, serve: Serve, http: Parser
) -> None:
    """A byte now and then is not enough to hold a connection."""
    with (
        serve(reading, orders, http=http) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(POST + b"\r\n")
        connection.settimeout(0.005)
        until(lambda: trickled(connection))


def looks(running: Running) -> object:
    """Return the timer of the one connection's body: a new one for each look."""
    for kept in list(running.server.server_state.connections):
        assert isinstance(kept, patience._Patience)
        return kept._body_deadline
    return None


def trickled(connection: ssl.SSLSocket) -> bool:
    """Send one byte more; return whether the other end has hung up."""
    try:
        connection.sendall(b"x")
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


@BOTH
def test_a_body_that_goes_on_may_take_its_time(
    orders: Instance,
    storefront: Instance,
    serve: Serve,
    http: Parser,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is the pace that counts, not the whole."""
    monkeypatch.setattr(patience, "BODY_BYTES", 1)
    head = POST.replace(b"1000", b"3")
    with (
        serve(reading, orders, http=http) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(head + b"\r\nx")
        until(lambda: looks(running))
        (kept,) = running.server.server_state.connections
        assert isinstance(kept, patience._Patience)
        until(lambda: kept._body_received)
        kept.loop.call_soon_threadsafe(kept._look_at_body)
        until(lambda: not kept._body_received)
        connection.sendall(b"xx")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@BOTH
@pytest.mark.usefixtures("brief")
def test_a_body_that_is_not_asked_for_may_wait(
    orders: Instance,
    storefront: Instance,
    serve: Serve,
    http: Parser,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A caller that waits for 100 Continue is not slow: the application is."""

    async def late(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        first = looks(running)
        await asyncio.to_thread(until, lambda: looks(running) not in {first, None})
        await reading(scope, receive, send)

    with (
        serve(late, orders, http=http) as running,
        connect(running, storefront, orders) as connection,
    ):
        connection.sendall(POST + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(b"x" * 1000)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert not body_reasons(caplog)


def send_without_end(connection: ssl.SSLSocket) -> None:
    """Send one header of 100 MB."""
    connection.sendall(HEADER)
    for _ in range(100):
        connection.sendall(b"x" * 1_000_000)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_handshake_that_does_not_end_is_given_up(
    orders: Instance, serve: Serve, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that connects and says nothing is hung up on."""
    monkeypatch.setattr(server, "_HANDSHAKE", 0.05)
    with (
        serve(mirror, orders, loop=loop) as running,
        socket.create_connection(("127.0.0.1", running.port), 10) as silent,
    ):
        assert silent.recv(1) == b""
