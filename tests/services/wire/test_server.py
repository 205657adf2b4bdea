"""Tests of `services.wire.server`: uvicorn as we set it up, on real sockets."""

import asyncio
import logging
import socket
import ssl
import struct
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from operator import gt
from threading import Event

import httpx
import pytest

from services.wire.kept import KeptHttpTools
from services.wire.server import AddressError, Loop, Parser, server
from services.wire.tls import client_context
from tests.services.mesh import Instance, Mesh, Running, Serve, until
from tests.services.wire.apps import Receive, Send, answer, mirror

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
PARSERS = pytest.mark.parametrize("http", ["h11", "httptools"])


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the instance that serves in this module."""
    return mesh.instance("orders")


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the instance that calls in this module."""
    return mesh.instance("storefront")


def client_of(caller: Instance, callee: Instance) -> httpx.Client:
    """Return a client that keeps its connections."""
    context = client_context(caller.generation, callee.spiffe_id)
    return httpx.Client(verify=context, trust_env=False, timeout=10)


def raw_connection(
    running: Running, caller: Instance, callee: Instance
) -> ssl.SSLSocket:
    """Return a bare TLS connection."""
    plain = socket.create_connection(("127.0.0.1", running.port), 10)
    context = client_context(caller.generation, callee.spiffe_id)
    return context.wrap_socket(plain, server_hostname="localhost")


def test_a_taken_port_is_one_clear_error(orders: Instance) -> None:
    """A port that another process has is named, before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            AddressError, match=f"127.0.0.1 port {port}: Address already"
        ):
            server(mirror, identity=orders.live(), address="127.0.0.1", port=port)


def test_the_loopback_of_ipv6_works_too(orders: Instance) -> None:
    """An address with colons is one of IPv6."""
    made = server(mirror, identity=orders.live(), address="::1", port=0)
    made.close()
    assert made.port


@PARSERS
def test_an_answer_does_not_name_the_software(
    orders: Instance, storefront: Instance, serve: Serve, http: Parser
) -> None:
    """There is no Server header."""
    with (
        serve(mirror, orders, http=http) as running,
        client_of(storefront, orders) as client,
    ):
        assert "server" not in client.get(running.url).headers


def test_forwarding_headers_are_not_believed(
    orders: Instance, storefront: Instance, serve: Serve
) -> None:
    """Address and scheme are the connection's, whatever the request says."""
    claims = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"}
    with serve(mirror, orders) as running, client_of(storefront, orders) as client:
        seen = client.get(running.url, headers=claims).json()
    assert seen["client"][0] == "127.0.0.1"
    assert seen["scheme"] == "https"


@PARSERS
def test_a_websocket_is_not_opened(
    orders: Instance, storefront: Instance, serve: Serve, http: Parser
) -> None:
    """A request to switch protocols is answered in HTTP, with the certificate seen."""
    wanted = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    with (
        serve(mirror, orders, http=http) as running,
        client_of(storefront, orders) as client,
    ):
        response = client.get(running.url, headers=wanted)
    assert response.status_code == 200
    assert response.json()["client_cert"]


@LOOPS
def test_a_reset_connection_is_forgotten_at_once(
    orders: Instance, storefront: Instance, serve: Serve, loop: Loop
) -> None:
    """The timer of a kept connection goes with it, even if it was torn."""
    with serve(mirror, orders, loop=loop) as running:
        connection = raw_connection(running, storefront, orders)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        (kept,) = running.server.server_state.connections
        assert isinstance(kept, KeptHttpTools)
        until(lambda: kept.idle is not None)
        # To linger for no time is to reset.
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
        until(lambda: not running.server.server_state.connections)
        until(lambda: kept.idle is None)


@LOOPS
def test_a_stop_lets_the_request_under_way_finish(
    orders: Instance, storefront: Instance, serve: Serve, loop: Loop
) -> None:
    """A request that has begun is answered before the server ends."""
    begun, proceed = Event(), Event()

    async def slow(scope: dict[str, object], _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun.set()
        await asyncio.to_thread(proceed.wait, 10)
        await answer(send, "done")

    with (
        ThreadPoolExecutor(1) as threads,
        client_of(storefront, orders) as client,
        serve(slow, orders, loop=loop) as running,
    ):
        pending = threads.submit(client.get, running.url)
        assert begun.wait(10)
        running.server.should_exit = True
        until(lambda: not running.server.servers[0].is_serving())
        proceed.set()
        assert pending.result(10).json() == "done"


@LOOPS
def test_a_renewal_under_load_drops_nothing(
    mesh: Mesh, storefront: Instance, serve: Serve, loop: Loop
) -> None:
    """Kept connections go on, new ones see the new certificate, nobody an error."""
    stock = mesh.instance("stock")
    seconds = count(step=2)
    live = stock.live(lambda: float(next(seconds)))  # looks at every handshake
    stop = Event()
    answers: list[list[tuple[str, int]]] = [[], [], []]  # per client, from which port

    def keep_asking(answered: list[tuple[str, int]]) -> None:
        with client_of(storefront, stock) as client:
            while not stop.is_set():
                seen = client.get(running.url).raise_for_status().json()
                answered.append(tuple(seen["client"]))

    def all_answered(since: list[int]) -> bool:
        return all(map(gt, map(len, answers), since))

    with ThreadPoolExecutor(3) as threads, serve(mirror, live, loop=loop) as running:
        asking = [threads.submit(keep_asking, answered) for answered in answers]
        try:
            for _ in range(10):
                asked = [len(answered) for answered in answers]
                directory = stock.renew()
                with raw_connection(running, storefront, stock) as connection:
                    der = connection.getpeercert(binary_form=True)
                assert der is not None
                shown = ssl.DER_cert_to_PEM_cert(der)
                assert (directory / "certificate.pem").read_text().startswith(shown)
                # Each client has to get an answer between any two renewals.
                until(partial(all_answered, asked))
        finally:
            stop.set()
        for future in asking:
            future.result(10)
    for answered in answers:
        assert len(set(answered)) == 1, "a connection was not kept"


@LOOPS
def test_a_bad_generation_under_load_changes_nothing(
    mesh: Mesh,
    storefront: Instance,
    serve: Serve,
    loop: Loop,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With key and certificate of two pairs the old generation goes on."""
    stock = mesh.instance("stock")
    before = stock.generation
    seconds = count(step=2)
    live = stock.live(lambda: float(next(seconds)))
    spoiled = stock.write(mesh.issue("stock"))
    (spoiled / "key.pem").write_bytes(mesh.issue("stock").key_pem)
    with serve(mirror, live, loop=loop) as running:
        stock.turn(spoiled)
        for _ in range(3):
            context = client_context(storefront.generation, stock.spiffe_id)
            with httpx.Client(verify=context, trust_env=False) as client:
                client.get(running.url).raise_for_status()
        assert live.current() == before
    assert [r.getMessage() for r in caplog.records].count("reload.refused") == 1


def test_what_uvicorn_has_to_say_is_quiet(
    orders: Instance,
    storefront: Instance,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A request leaves no line: what happened in it is for the application to say."""
    with (
        caplog.at_level(logging.INFO, logger="uvicorn.access"),
        serve(mirror, orders) as running,
        client_of(storefront, orders) as client,
    ):
        client.get(running.url).raise_for_status()
    assert not [r for r in caplog.records if r.name == "uvicorn.access"]
