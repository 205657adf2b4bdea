"""Tests of `services.wire.tls`: what the other end sees of a handshake.

The other end is pyOpenSSL (`hostile.visit`).
"""

import logging
import ssl
from collections.abc import Iterator
from datetime import timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL

from services.wire.generation import KEY
from services.wire.tls import Minimum, ServerContext
from tests.services.mesh import Instance, Leaf, Mesh, Running, Serve, now
from tests.services.wire import hostile
from tests.services.wire.apps import mirror
from tests.services.wire.hostile import visit

BCP_195 = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
}


@pytest.fixture(scope="module")
def orders(mesh: Mesh) -> Instance:
    """Return the instance that serves in this module."""
    return mesh.instance("orders")


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def strict(
    request: pytest.FixtureRequest, orders: Instance, serve: Serve
) -> Iterator[Running]:
    """Serve TLS 1.3 only, as is the default."""
    with serve(mirror, orders, loop=request.param) as running:
        yield running


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def lenient(
    request: pytest.FixtureRequest, orders: Instance, serve: Serve
) -> Iterator[Running]:
    """Serve TLS 1.2 as well, as the switch allows."""
    with serve(mirror, orders, loop=request.param, tls_minimum="1.2") as running:
        yield running


@pytest.fixture(scope="module")
def rogue() -> Leaf:
    """Return orders' names, certified by a CA that nobody trusts."""
    authority = trustme.CA()
    made = authority.issue_cert("orders.shop.internal")
    key = load_pem_private_key(made.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return Leaf(
        key,
        x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes()),
        x509.load_pem_x509_certificate(authority.cert_pem.bytes()),
    )


def test_a_handshake_is_tls_1_3(mesh: Mesh, strict: Running) -> None:
    """A peer that speaks 1.2 and 1.3 is answered in 1.3, over HTTP/1.1."""
    seen = visit(strict.port, mesh.issue("storefront"))
    assert seen.version == "TLSv1.3"
    assert seen.protocol == b"http/1.1"
    assert seen.answer.startswith(b"HTTP/1.1 200")


def test_http_2_is_not_agreed_on(mesh: Mesh, strict: Running) -> None:
    """A peer that offers HTTP/2 first gets HTTP/1.1."""
    seen = visit(strict.port, mesh.issue("storefront"), protocols=(b"h2", b"http/1.1"))
    assert seen.protocol == b"http/1.1"


def test_tls_1_2_is_refused_by_default(mesh: Mesh, strict: Running) -> None:
    """A peer that ends at 1.2 gets the alert that says so."""
    seen = visit(strict.port, mesh.issue("storefront"), highest=SSL.TLS1_2_VERSION)
    assert seen.alerts == [hostile.PROTOCOL_VERSION]
    assert not seen.answer


def test_tls_1_1_is_refused_always(mesh: Mesh, lenient: Running) -> None:
    """The switch goes down to 1.2 and no further."""
    seen = visit(
        lenient.port,
        mesh.issue("storefront"),
        lowest=SSL.TLS1_1_VERSION,
        highest=SSL.TLS1_1_VERSION,
    )
    assert seen.alerts == [hostile.PROTOCOL_VERSION]


def test_the_switch_still_prefers_tls_1_3(mesh: Mesh, lenient: Running) -> None:
    """Allowing 1.2 takes nothing from those who can do better."""
    assert visit(lenient.port, mesh.issue("storefront")).version == "TLSv1.3"


@pytest.mark.parametrize("cipher", [s for s in sorted(BCP_195) if "ECDSA" in s])
def test_the_switch_allows_tls_1_2_with_these_suites(
    mesh: Mesh, lenient: Running, cipher: str
) -> None:
    """Those of BCP 195 that fit a P-256 certificate work."""
    seen = visit(
        lenient.port,
        mesh.issue("storefront"),
        highest=SSL.TLS1_2_VERSION,
        ciphers=cipher.encode(),
    )
    assert (seen.version, seen.cipher) == ("TLSv1.2", cipher)
    assert seen.answer.startswith(b"HTTP/1.1 200")


def test_no_other_suite_of_tls_1_2_is_taken(mesh: Mesh, lenient: Running) -> None:
    """A peer that offers every suite but the four gets no connection."""
    every = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    every.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    others = [
        suite["name"]
        for suite in every.get_ciphers()
        if suite["protocol"] != "TLSv1.3" and suite["name"] not in BCP_195
    ]
    assert "ECDHE-ECDSA-CHACHA20-POLY1305" in others
    seen = visit(
        lenient.port,
        mesh.issue("storefront"),
        highest=SSL.TLS1_2_VERSION,
        ciphers=":".join([*others, "@SECLEVEL=0"]).encode(),
    )
    assert seen.alerts == [hostile.HANDSHAKE_FAILURE]


def test_a_certificate_is_asked_for_without_names(mesh: Mesh, strict: Running) -> None:
    """The request lists no CAs: Python cannot, and it would only tell who we are."""
    seen = visit(strict.port, mesh.issue("storefront"))
    assert any("certificate request" in state for state in seen.states)
    assert seen.names_asked_for == []


@pytest.mark.parametrize(
    ("highest", "alert"),
    [
        (SSL.TLS1_3_VERSION, hostile.CERTIFICATE_REQUIRED),
        (SSL.TLS1_2_VERSION, hostile.HANDSHAKE_FAILURE),
    ],
)
def test_no_certificate_gets_its_alert_and_a_log_line(
    lenient: Running, caplog: pytest.LogCaptureFixture, highest: int, alert: int
) -> None:
    """A peer that shows nothing is told so, and so is the log."""
    seen = visit(lenient.port, highest=highest)
    assert seen.alerts == [alert]
    assert not seen.answer
    assert reasons(caplog) == ["PEER_DID_NOT_RETURN_A_CERTIFICATE"]


def test_a_rogue_ca_gets_its_alert_and_a_log_line(
    strict: Running, rogue: Leaf, caplog: pytest.LogCaptureFixture
) -> None:
    """The right names under the wrong CA are refused with the reason."""
    seen = visit(strict.port, rogue)
    assert seen.alerts == [hostile.UNKNOWN_CA]
    assert not seen.answer
    assert len(reasons(caplog)) == 1
    assert "self-signed certificate in certificate chain" in reasons(caplog)[0]
    assert len(caplog.records) == 1, "the event loop has said something as well"


def test_another_trust_domains_certificate_is_refused(
    strict: Running, foreign_mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """A good certificate of another mesh is unknown here."""
    seen = visit(strict.port, foreign_mesh.issue("storefront"))
    assert seen.alerts == [hostile.UNKNOWN_CA]
    assert reasons(caplog) == ["unable to get local issuer certificate"]


def test_an_expired_certificate_gets_its_alert_and_a_log_line(
    mesh: Mesh, strict: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate whose time is over is refused in the handshake."""
    leaf = mesh.issue("storefront", not_after=now() - timedelta(seconds=1))
    seen = visit(strict.port, leaf)
    assert seen.alerts == [hostile.CERTIFICATE_EXPIRED]
    assert not seen.answer
    assert reasons(caplog) == ["certificate has expired"]


def test_a_certificate_for_servers_only_is_refused(
    mesh: Mesh, strict: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate that may not be a client's is none."""
    leaf = mesh.issue("storefront", usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    seen = visit(strict.port, leaf)
    assert seen.alerts == [hostile.UNSUPPORTED_CERTIFICATE]
    assert reasons(caplog) == ["unsuitable certificate purpose"]


def test_a_refused_peer_leaves_nothing_behind(
    strict: Running, rogue: Leaf, mesh: Mesh
) -> None:
    """After a refusal the next peer is served as if nothing had been."""
    visit(strict.port, rogue)
    assert visit(strict.port, mesh.issue("storefront")).answer


def test_no_ticket_is_sent_in_tls_1_3(mesh: Mesh, strict: Running) -> None:
    """The peer never reads a session ticket."""
    seen = visit(strict.port, mesh.issue("storefront"))
    assert seen.answer
    assert not [state for state in seen.states if "session ticket" in state]


def test_a_new_bundle_distrusts_at_once(
    mesh: Mesh, foreign_mesh: Mesh, serve: Serve, rogue: Leaf
) -> None:
    """A root that left the bundle is not trusted by the next handshake."""
    stock = mesh.instance("stock")
    both = mesh.bundle_pem + foreign_mesh.bundle_pem
    stock.turn(stock.write(mesh.issue("stock"), bundle_pem=both))
    seconds = iter(range(100000))
    with serve(mirror, stock.live(lambda: float(next(seconds) * 2))) as running:
        foreigner = foreign_mesh.issue("storefront")
        assert visit(running.port, foreigner).answer
        stock.renew()
        assert visit(running.port, foreigner).alerts == [hostile.UNKNOWN_CA]
        assert visit(running.port, mesh.issue("storefront")).answer


@pytest.mark.parametrize("minimum", ["1.2", "1.3"])
def test_files_that_vanish_leave_the_old_generation(
    mesh: Mesh, caplog: pytest.LogCaptureFixture, minimum: Minimum
) -> None:
    """A generation that is gone before OpenSSL reads it changes nothing."""
    stock = mesh.instance("stock")
    seconds = iter(range(0, 1000, 2))
    live = stock.live(lambda: float(next(seconds)))
    context = ServerContext(live, minimum=minimum)
    directory = stock.renew()
    taken = live.current()
    assert taken.directory == directory.resolve()
    (directory / KEY).unlink()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            wrapped = context.wrap_bio(
                ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True
            )
    assert wrapped.context.verify_mode is ssl.CERT_REQUIRED
    events = [record.getMessage() for record in caplog.records]
    assert events.count("tls.generation_refused") == 1


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the reasons of the refusals in the log."""
    return [
        record.__dict__["certbound_fields"]["reason"]
        for record in caplog.records
        if record.getMessage() == "tls.refused"
    ]
