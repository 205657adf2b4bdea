"""Tests of `services.wire.extension`: the certificate as the application sees it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from services.wire.peer import PeerError, peer_of
from services.wire.tls import client_context
from tests.services.mesh import TRUST_DOMAIN, Instance, Mesh, Running, Serve, now
from tests.services.wire.apps import Receive, Send, answer, mirror
from tests.services.wire.hostile import visit

# The numbers that RFC 8446 (appendix B.4) and RFC 5289 give the suites.
TLS_1_3_SUITES = {0x1301, 0x1302, 0x1303}
ECDHE_ECDSA_AES128_GCM_SHA256 = 0xC02B


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the instance that serves in this module."""
    return mesh.instance("orders")


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the instance that calls in this module."""
    return mesh.instance("storefront")


@pytest.fixture(
    scope="module",
    params=[(p, loop) for p in ("h11", "httptools") for loop in ("asyncio", "uvloop")],
    ids="-".join,
)
def running(
    request: pytest.FixtureRequest, orders: Instance, serve: Serve
) -> Iterator[Running]:
    """Serve with each parser on each loop."""
    http, loop = request.param
    with serve(mirror, orders, http=http, loop=loop, tls_minimum="1.2") as made:
        yield made


@contextmanager
def asking(
    running: Running, caller: Instance, orders: Instance
) -> Iterator[Callable[[], Any]]:
    """Give a function that makes a request on one kept connection."""
    context = client_context(caller.generation, orders.spiffe_id)
    with httpx.Client(verify=context, trust_env=False) as client:
        yield lambda: client.get(running.url).raise_for_status().json()


def test_the_application_sees_the_certificate_of_the_connection(
    running: Running, orders: Instance, storefront: Instance
) -> None:
    """The leaf comes as DER, the chain as PEM, and the handshake as numbers."""
    with asking(running, storefront, orders) as ask:
        seen = ask()
    leaf = storefront.generation.certificate
    assert bytes.fromhex(seen["client_cert"]) == leaf.public_bytes(Encoding.DER)
    pems = "".join(seen["client_cert_chain"])
    chain = x509.load_pem_x509_certificates(pems.encode())
    verified = [leaf, storefront.mesh.issuing, storefront.mesh.root]
    assert chain == verified
    assert seen["server_cert"] is None
    assert seen["tls_version"] == 0x0304
    assert seen["cipher_suite"] in TLS_1_3_SUITES
    assert seen["scheme"] == "https"


def test_the_numbers_are_right_for_tls_1_2(running: Running, mesh: Mesh) -> None:
    """An older version and suite are told apart from the newer."""
    seen = visit(
        running.port,
        mesh.issue("storefront"),
        highest=SSL.TLS1_2_VERSION,
        ciphers=b"ECDHE-ECDSA-AES128-GCM-SHA256",
    )
    assert b'"tls_version": 771' in seen.answer
    assert b'"cipher_suite": %d' % ECDHE_ECDSA_AES128_GCM_SHA256 in seen.answer


def test_a_request_cannot_change_the_certificate_of_the_next(
    running: Running, orders: Instance, storefront: Instance
) -> None:
    """What an application writes into its scope ends with the request."""
    with asking(running, storefront, orders) as ask:
        first, second = ask(), ask()
    assert first["client"] == second["client"], "the connection was not kept"
    assert first["client_cert"] == second["client_cert"]


def test_two_connections_have_their_own_certificates(
    running: Running, orders: Instance, storefront: Instance, mesh: Mesh
) -> None:
    """Connections that are open at once do not see each other's certificate."""
    stock = mesh.instance("stock")
    with (
        asking(running, storefront, orders) as ask_as_storefront,
        asking(running, stock, orders) as ask_as_stock,
    ):
        for _ in range(2):
            assert ask_as_storefront()["client_cert"] == der_of(storefront).hex()
            assert ask_as_stock()["client_cert"] == der_of(stock).hex()


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_a_kept_connection_ends_with_its_certificate(
    mesh: Mesh, serve: Serve, orders: Instance, http: Any
) -> None:
    """The next request after the expiry is refused, on the very same connection."""
    storefront = mesh.instance("storefront", not_after=now() + timedelta(minutes=1))
    moment = [now()]

    async def guarded(scope: dict[str, Any], _receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        try:
            peer = peer_of(scope, trust_domain=TRUST_DOMAIN, now=moment[0])
        except PeerError as error:
            await answer(send, [error.code, scope["client"]])
        else:
            await answer(send, [str(peer.spiffe_id), scope["client"]])

    with (
        serve(guarded, orders, http=http) as running,
        asking(running, storefront, orders) as ask,
    ):
        name, client = ask()
        assert name == "spiffe://shop.internal/service/storefront"
        moment[0] += timedelta(minutes=2)
        assert ask() == ["certificate_expired", client]


def der_of(instance: Instance) -> bytes:
    """Return the present leaf of an instance."""
    return instance.generation.certificate.public_bytes(Encoding.DER)
