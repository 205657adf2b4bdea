"""Tests of `services.wire.client`: to whom we speak, and with which certificate."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from services.wire.client import GENERATION, IdentityTransport
from services.wire.generation import BUNDLE, CERTIFICATE, KEY, LiveIdentity
from services.wire.tls import client_context
from tests.services.mesh import Instance, Mesh, Running, Serve
from tests.services.wire.apps import Receive, Send, answer, mirror

NOT_ORDERS = r"the server is spiffe://shop\.internal/service/stock, expected .*/orders"


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the instance that serves in this module."""
    return mesh.instance("orders")


@pytest.fixture(scope="module")
def running(serve: Serve, orders: Instance) -> Iterator[Running]:
    """Serve for this module."""
    with serve(mirror, orders) as made:
        yield made


@pytest.fixture
def storefront(mesh: Mesh) -> Instance:
    """Return a caller that a test may renew."""
    return mesh.instance("storefront")


def restless(instance: Instance) -> LiveIdentity:
    """Return a live identity that looks at the disk each time it is asked."""
    seconds = count(step=2)
    return instance.live(lambda: float(next(seconds)))


def call(
    transport: IdentityTransport, use: Callable[[httpx.AsyncClient], Awaitable[Any]]
) -> Any:
    """Run `use` with a client over `transport`, and close it."""

    async def run() -> Any:
        async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
            return await use(client)

    return asyncio.run(run())


def test_the_server_sees_the_callers_certificate(
    running: Running, storefront: Instance, orders: Instance
) -> None:
    """A request goes out with the certificate of the caller's identity."""
    transport = IdentityTransport(storefront.live(), orders.spiffe_id)
    response = call(transport, lambda client: client.get(running.url))
    assert response.json()["client_cert"] == der_of(storefront)


def test_a_connection_is_kept(
    running: Running, storefront: Instance, orders: Instance
) -> None:
    """Requests with one certificate share a connection."""

    async def twice(client: httpx.AsyncClient) -> list[Any]:
        return [(await client.get(running.url)).json()["client"] for _ in range(2)]

    first, second = call(IdentityTransport(storefront.live(), orders.spiffe_id), twice)
    assert first == second


def test_a_renewal_means_a_new_connection(
    running: Running, storefront: Instance, orders: Instance
) -> None:
    """No request after a renewal travels with the certificate from before it."""

    async def around(client: httpx.AsyncClient) -> None:
        before = (await client.get(running.url)).json()
        assert before["client_cert"] == der_of(storefront)
        storefront.renew()
        after = (await client.get(running.url)).json()
        assert after["client_cert"] == der_of(storefront) != before["client_cert"]
        assert after["client"] != before["client"]

    transport = IdentityTransport(restless(storefront), orders.spiffe_id)
    call(transport, around)


def test_a_pinned_generation_is_the_one_shown(
    running: Running, storefront: Instance, orders: Instance
) -> None:
    """A request made for the old certificate is sent with it after a renewal, too."""
    old, shown = storefront.generation, der_of(storefront)

    async def pinned(client: httpx.AsyncClient) -> None:
        storefront.renew()
        extensions = {GENERATION: old}
        seen = (await client.get(running.url, extensions=extensions)).json()
        assert seen["client_cert"] == shown
        seen = (await client.get(running.url)).json()
        assert seen["client_cert"] == der_of(storefront) != shown

    transport = IdentityTransport(restless(storefront), orders.spiffe_id)
    call(transport, pinned)


def test_old_connections_are_closed_once_idle(
    running: Running, storefront: Instance, orders: Instance
) -> None:
    """A body that is still being read keeps its connection; its end closes it."""
    transport = IdentityTransport(restless(storefront), orders.spiffe_id)

    async def overlap(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", running.url) as slow:
            storefront.renew()
            await client.get(running.url)
            assert len(transport._pools) == 2
            assert await slow.aread()
        assert len(transport._pools) == 1
        storefront.renew()
        await client.get(running.url)
        assert len(transport._pools) == 1

    call(transport, overlap)
    assert not transport._pools


def test_a_generation_that_is_gone_is_a_connection_error(
    running: Running, storefront: Instance, orders: Instance
) -> None:
    """A pinned generation that has been cleared away is an error of one request."""
    old = storefront.generation
    storefront.renew()
    for file in (old.key_path, old.certificate_path, old.bundle_path):
        file.unlink()
    transport = IdentityTransport(storefront.live(), orders.spiffe_id)

    async def pinned(client: httpx.AsyncClient) -> None:
        with pytest.raises(httpx.ConnectError, match="cannot be used"):
            await client.get(running.url, extensions={GENERATION: old})
        (await client.get(running.url)).raise_for_status()

    call(transport, pinned)


def test_no_proxy_is_taken_from_the_environment(
    running: Running,
    storefront: Instance,
    orders: Instance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The environment cannot lead a request elsewhere."""
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    transport = IdentityTransport(storefront.live(), orders.spiffe_id)
    call(transport, lambda client: client.get(running.url))


class Listener:
    """A TLS server of Python's own that keeps what reaches its application."""

    def __init__(self, directory: Path) -> None:
        self.received: list[bytes] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(directory / CERTIFICATE, directory / KEY)
        self._context.load_verify_locations(directory / BUNDLE)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self.url = f"https://localhost:{self._socket.getsockname()[1]}"

    @contextmanager
    def listening(self) -> Iterator["Listener"]:
        """Take one connection while the context lasts."""
        thread = Thread(target=self._take, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            thread.join(10)
            self._socket.close()

    def _take(self) -> None:
        # The client goes away, which is what the tests are about.
        with suppress(OSError), self._socket.accept()[0] as plain:
            plain.settimeout(10)
            with self._context.wrap_socket(plain, server_side=True) as connection:
                self.received.append(connection.recv(65536))


def test_another_service_is_told_nothing(
    mesh: Mesh, storefront: Instance, orders: Instance
) -> None:
    """A valid chain and the right host name do not make stock into orders."""
    transport = IdentityTransport(storefront.live(), orders.spiffe_id)
    with (
        Listener(mesh.instance("stock").current).listening() as stock,
        pytest.raises(httpx.ConnectError, match=NOT_ORDERS),
    ):
        call(transport, lambda client: client.get(stock.url))
    assert b"".join(stock.received) == b""


def test_a_blocking_socket_checks_the_name_too(
    mesh: Mesh, storefront: Instance, orders: Instance
) -> None:
    """The context refuses another service without an event loop as well."""
    context = client_context(storefront.generation, orders.spiffe_id)
    with (
        Listener(mesh.instance("stock").current).listening() as stock,
        httpx.Client(verify=context, trust_env=False) as client,
        pytest.raises(httpx.ConnectError, match=NOT_ORDERS),
    ):
        client.get(stock.url)
    assert b"".join(stock.received) == b""


def test_our_own_server_never_sees_the_handshake_end(
    mesh: Mesh, storefront: Instance, orders: Instance, serve: Serve
) -> None:
    """The client's last message stays unsent, so no request can begin."""
    requests: list[object] = []

    async def listen(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            requests.append(scope)
            await answer(send, {})

    with serve(listen, mesh.instance("stock")) as stock:
        transport = IdentityTransport(storefront.live(), orders.spiffe_id)
        with pytest.raises(httpx.ConnectError, match="the server is"):
            call(transport, lambda client: client.get(stock.url))
        assert not stock.server.server_state.connections
    assert not requests


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"uris": []}, "0 URI names"),
        ({"uris": ["spiffe://other.internal/service/orders"]}, "the server is"),
        ({"authority": True}, "certificate verify failed"),  # OpenSSL's strictness
        ({"dns_names": ["orders.shop.internal"]}, "Hostname mismatch"),
    ],
)
def test_a_server_with_one_fault_is_refused(
    mesh: Mesh, storefront: Instance, faults: dict[str, Any], reason: str
) -> None:
    """Host name, SPIFFE ID and kind must all be right, though our CA has signed."""
    orders = mesh.instance("orders")
    with Listener(orders.renew(**faults)).listening() as listener:
        transport = IdentityTransport(storefront.live(), orders.spiffe_id)
        with pytest.raises(httpx.ConnectError, match=reason):
            call(transport, lambda client: client.get(listener.url))
    assert b"".join(listener.received) == b""


def test_a_server_of_another_ca_is_refused(
    foreign_mesh: Mesh, storefront: Instance, orders: Instance
) -> None:
    """A server with orders' very names under another CA is nobody."""
    imposter = foreign_mesh.instance(
        "orders", uris=[str(orders.spiffe_id)], dns_names=["localhost"]
    )
    with Listener(imposter.current).listening() as listener:
        transport = IdentityTransport(storefront.live(), orders.spiffe_id)
        with pytest.raises(httpx.ConnectError, match="unable to get local issuer"):
            call(transport, lambda client: client.get(listener.url))
    assert b"".join(listener.received) == b""


def der_of(instance: Instance) -> str:
    """Return the present leaf of an instance in hex."""
    return instance.generation.certificate.public_bytes(Encoding.DER).hex()
