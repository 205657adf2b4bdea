"""A certificate that has ended renews itself where there is a grace, and only there."""

import ssl
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from services.wire.grace import check_times
from tests.services.authority import (
    Authority,
    Front,
    certificate,
    certificates,
    encoded,
    enrolment,
    request_of,
)
from tests.services.enrolment.test_refusals import refusal
from tests.services.logged import lines, listen
from tests.services.mesh import Instance, Mesh, Serve, now

AGE = timedelta(hours=25)  # of a life of 24, which began five minutes before
ENDED = 3900  # seconds ago
ENOUGH = 7200


@pytest.fixture
def house(tmp_path: Path) -> Authority:
    """Return a CA that was founded before `orders` had its certificate."""
    return Authority(tmp_path, age=AGE + timedelta(hours=1))


@pytest.fixture
def orders(house: Authority) -> Instance:
    """Return an instance that slept past the end of its certificate."""
    return house.instance("orders", age=AGE)


def refused_by_tls(front: Front, caller: Instance) -> None:
    """Check that no request comes through."""
    with pytest.raises(httpx.TransportError):
        front.post(caller, request_of(caller))


def test_who_slept_past_the_end_renews(
    house: Authority,
    orders: Instance,
    serve: Serve,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With a new key as ever; the log says for how long it had ended."""
    listen(caplog)
    key = ec.generate_private_key(ec.SECP256R1())
    with enrolment(house, serve, tmp_path, grace=ENOUGH) as front:
        renewed = certificate(front.post(orders, request_of(orders, key)))
        with front.client(orders) as client:
            assert set(certificates(client.get("/cacerts"))) == {
                house.issuing,
                house.root,
            }
    assert renewed.public_key() == key.public_key()
    assert renewed.not_valid_after_utc > now()
    (line,) = [one for one in lines(caplog) if one["event"] == "certificate.renewed"]
    assert line["level"] == "warning"
    assert line["certificate"] == format(orders.generation.serial, "x")
    assert ENDED - 60 <= line["expired_s"] <= ENDED + 60


def test_nobody_does_unless_it_is_said(
    house: Authority,
    orders: Instance,
    serve: Serve,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without a grace OpenSSL ends the handshake."""
    with enrolment(house, serve, tmp_path) as front:
        refused_by_tls(front, orders)
    (line,) = [one for one in lines(caplog) if one["event"] == "tls.refused"]
    assert line["reason"] == "certificate has expired"


def test_a_grace_ends(
    house: Authority,
    orders: Instance,
    serve: Serve,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Who has ended before that is refused in the handshake, too."""
    with enrolment(house, serve, tmp_path, grace=ENDED - 300) as front:
        refused_by_tls(front, orders)
    (line,) = [one for one in lines(caplog) if one["event"] == "tls.refused"]
    assert f"{orders.generation.serial:x}, at depth 0" in line["error"]


def test_a_grace_ends_on_a_kept_connection(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> None:
    """A connection outlives it by no request."""
    with (
        enrolment(house, serve, tmp_path, grace=ENOUGH) as front,
        front.client(orders) as client,
    ):
        assert client.get("/csrattrs").status_code == 200
        front.clock.set(orders.generation.not_after + timedelta(seconds=ENOUGH + 1))
        answer = client.post(
            "/simplereenroll",
            content=encoded(request_of(orders)),
            headers={"content-type": "application/pkcs10"},
        )
    assert refusal(answer) == (401, "invalid_certificate")


def test_a_revoked_one_has_none(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> None:
    """It is revoked after its end, and still refused."""
    with enrolment(house, serve, tmp_path, grace=ENOUGH) as front:
        house.revoke("orders")
        answer = front.post(orders, request_of(orders))
    assert refusal(answer) == (403, "revoked")


def test_a_superseded_one_has_none(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> None:
    """Nor if the newer one has ended as well."""
    house.issue("orders", age=AGE - timedelta(minutes=10))
    with enrolment(house, serve, tmp_path, grace=ENOUGH) as front:
        answer = front.post(orders, request_of(orders))
    assert refusal(answer) == (403, "superseded")


def test_who_is_in_time_is_renewed_as_ever(
    house: Authority,
    serve: Serve,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A grace changes nothing for a certificate that has not ended."""
    listen(caplog)
    stock = house.instance("stock")
    with enrolment(house, serve, tmp_path, grace=ENOUGH) as front:
        certificate(front.post(stock, request_of(stock)))
    (line,) = [one for one in lines(caplog) if one["event"] == "certificate.renewed"]
    assert (line["level"], line["expired_s"]) == ("info", 0)


def chain(mesh: Mesh, **faults: object) -> list[bytes]:
    """Return the chain of a certificate, in DER."""
    leaf = mesh.issue("orders", **faults)  # type: ignore[arg-type]  # times
    return [
        one.public_bytes(Encoding.DER)
        for one in (leaf.certificate, leaf.issuing, mesh.root)
    ]


def test_a_ca_has_no_grace(mesh: Mesh) -> None:
    """Its end is the end, though OpenSSL was told not to look."""
    day, hour = timedelta(days=1), timedelta(hours=1)
    presented = chain(mesh)
    ended = now() + hour
    check_times(presented, grace=2 * day, now=ended + hour)
    with pytest.raises(ssl.SSLCertVerificationError, match="at depth 1"):
        check_times(presented, grace=2 * day, now=ended + day)


def test_a_life_that_has_not_begun_has_no_grace(mesh: Mesh) -> None:
    """A grace looks back, never ahead."""
    presented = chain(mesh, not_before=now() + timedelta(minutes=1))
    with pytest.raises(ssl.SSLCertVerificationError, match="at depth 0"):
        check_times(presented, grace=timedelta(hours=1), now=now())


def test_a_chain_that_cannot_be_seen_is_refused(mesh: Mesh) -> None:
    """As by a Python that does not tell what OpenSSL has verified."""
    with pytest.raises(ssl.SSLCertVerificationError, match="cannot be seen"):
        check_times(chain(mesh)[:1], grace=timedelta(hours=1), now=now())
