"""Tests that no TLS session is resumed, since that would skip the certificate."""

import ssl
from contextlib import suppress

import pytest

from services.wire.tls import ServerContext
from tests.services.mesh import Instance, Mesh


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the instance that serves in this module."""
    return mesh.instance("orders")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed(orders: Instance, version: ssl.TLSVersion) -> None:
    """A session from an earlier connection is not taken up, in 1.2 or 1.3."""
    assert not resumes(ServerContext(orders.live(), minimum="1.2"), orders, version)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_probe_sees_resumption_where_there_is_some(
    orders: Instance, version: ssl.TLSVersion
) -> None:
    """The probe above would notice: a stock context resumes, without tickets too."""
    stock = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    generation = orders.generation
    stock.load_cert_chain(generation.certificate_path, generation.key_path)
    stock.load_verify_locations(generation.bundle_path)
    stock.verify_mode = ssl.CERT_REQUIRED
    stock.options |= ssl.OP_NO_TICKET
    assert resumes(stock, orders, version)


def resumes(
    server: ssl.SSLContext, instance: Instance, version: ssl.TLSVersion
) -> bool:
    """Tell whether a second connection takes up the session of a first.

    Python's client is used, since only it tells; both ends are in memory.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    generation = instance.generation
    context.load_cert_chain(generation.certificate_path, generation.key_path)
    context.load_verify_locations(generation.bundle_path)
    context.minimum_version = context.maximum_version = version
    session, ends = None, []  # the ends are kept: a dropped one takes its session along
    for _ in range(2):
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(
            down, up, server_hostname="localhost", session=session
        )
        ends += [client, server.wrap_bio(up, down, server_side=True)]
        for end in ends[-2:] * 4:
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
        ends[-1].write(b"!")
        assert client.read(1) == b"!"  # and with it the tickets, if there were any
        session = client.session
    return client.session_reused is True
