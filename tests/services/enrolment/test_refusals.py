"""What the CA's front refuses: each time one thing is wrong, and it says which."""

import fcntl
import os
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from pki.layout import Layout
from services.enrolment.errors import UnavailableError
from services.enrolment.office import Office
from tests.services.authority import (
    Authority,
    Front,
    certificate,
    encoded,
    enrolment,
    request_of,
)
from tests.services.logged import lines
from tests.services.mesh import Instance, Leaf, Serve, now, until


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Return status and code of a refusal, which is one line of plain text."""
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    code, _, description = answer.text.partition(": ")
    assert description.count("\n") == 1
    return answer.status_code, code


def names(
    *dns: str, uri: str = "spiffe://shop.internal/service/orders"
) -> x509.SubjectAlternativeName:
    """Return alternative names."""
    return x509.SubjectAlternativeName(
        [*map(x509.DNSName, dns), x509.UniformResourceIdentifier(uri)]
    )


def key_of(instance: Instance) -> object:
    """Return the private key that an instance has now."""
    return load_pem_private_key((instance.current / "key.pem").read_bytes(), None)


@contextmanager
def locked(house: Authority) -> Iterator[None]:
    """Hold the CA's lock, as `python -m pki` does while it works."""
    descriptor = os.open(house.layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def test_a_first_certificate_is_not_to_be_had(front: Front, orders: Instance) -> None:
    """Whoever has one already gets none by `simpleenroll` either."""
    answer = front.post(orders, request_of(orders), "/simpleenroll")
    assert refusal(answer) == (403, "not_offered")


@pytest.mark.parametrize("operation", ["/serverkeygen", "/fullcmc", "/", ""])
def test_other_operations_are_not_there(
    front: Front, orders: Instance, operation: str
) -> None:
    """Keys are made on the host, so none is made here."""
    answer = front.post(orders, request_of(orders), operation)
    assert refusal(answer) == (404, "not_found")


def test_renewal_is_no_get(front: Front, orders: Instance) -> None:
    """The answer says which method it is."""
    with front.client(orders) as client:
        answer = client.get("/simplereenroll")
    assert refusal(answer) == (405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


def test_a_label_that_is_not_configured_leads_nowhere(
    front: Front, orders: Instance
) -> None:
    """There is one CA."""
    answer = front.post(orders, request_of(orders), "/shop/simplereenroll")
    assert refusal(answer) == (404, "not_found")


def test_another_media_type(front: Front, orders: Instance) -> None:
    """A request comes as application/pkcs10."""
    headers = {"content-type": "application/x-pem-file"}
    answer = front.post(orders, request_of(orders), **headers)
    assert refusal(answer) == (415, "unsupported_media_type")


def test_a_body_beyond_all_need(front: Front, orders: Instance) -> None:
    """It is not read to its end."""
    answer = front.post(orders, b"A" * 16_385)
    assert refusal(answer) == (413, "request_too_large")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("body", [b"", b"!", b"AAAA", b"-----BEGIN"])
def test_a_body_that_is_no_request(front: Front, orders: Instance, body: bytes) -> None:
    """It is base64 of one PKCS #10 request, or nothing."""
    assert refusal(front.post(orders, body)) == (400, "request_unreadable")


def test_a_request_that_another_key_signed(front: Front, orders: Instance) -> None:
    """The last byte of its signature is another."""
    der = bytearray(request_of(orders).public_bytes(Encoding.DER))
    der[-1] ^= 1
    wanted = x509.load_der_x509_csr(bytes(der))
    answer = front.post(orders, encoded(wanted))
    assert refusal(answer) == (400, "no_proof_of_possession")


@pytest.mark.parametrize(
    "asked",
    [
        names("orders.shop.internal"),
        names("orders.shop.internal", "localhost", "stock.shop.internal"),
        names(
            "orders.shop.internal",
            "localhost",
            uri="spiffe://shop.internal/service/stock",
        ),
    ],
    ids=["fewer", "more", "another service"],
)
def test_other_names_than_the_present_ones(
    front: Front, orders: Instance, asked: x509.SubjectAlternativeName
) -> None:
    """Names change with the roll-out, not with a renewal."""
    answer = front.post(orders, request_of(orders, names=asked))
    assert refusal(answer) == (403, "other_names")


def test_no_names_are_other_names(front: Front, orders: Instance) -> None:
    """RFC 7030, section 4.2.2: they must be identical."""
    answer = front.post(orders, request_of(orders, silent=True))
    assert refusal(answer) == (403, "other_names")


def test_another_subject(front: Front, orders: Instance) -> None:
    """The present one is empty."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "orders")])
    answer = front.post(orders, request_of(orders, subject=subject))
    assert refusal(answer) == (403, "other_names")


def test_names_in_another_order_are_the_same(front: Front, orders: Instance) -> None:
    """An order means nothing."""
    asked = names("localhost", "orders.shop.internal")
    certificate(front.post(orders, request_of(orders, names=asked)))


def test_another_services_request(
    house: Authority, front: Front, orders: Instance
) -> None:
    """Who asks is in the handshake: with stock's certificate, orders is not renewed."""
    wanted = request_of(orders)
    answer = front.post(house.instance("stock"), wanted)
    assert refusal(answer) == (403, "other_names")


def test_a_certificate_that_is_in_no_ledger(
    house: Authority, serve: Serve, tmp_path: Path
) -> None:
    """Signed with the stolen key of the CA: TLS lets it in, and it renews nothing."""
    stolen = house.forge("orders")
    orders = Instance(house, "orders", house.instance("orders").home)
    orders.turn(orders.write(stolen))
    with enrolment(house, serve, tmp_path) as front:
        answer = front.post(orders, request_of(orders))
    assert refusal(answer) == (403, "unknown_certificate")


def test_a_superseded_certificate(
    front: Front, orders: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """An old certificate and its key, out of a backup, renew nothing."""
    certificate(front.post(orders, request_of(orders)))
    answer = front.post(orders, request_of(orders))
    assert refusal(answer) == (403, "superseded")
    (line,) = [one for one in lines(caplog) if one["event"] == "certificate.refused"]
    assert line["cause"] == "SupersededError"
    assert line["certificate"] == format(orders.generation.serial, "x")
    assert line["peer"] == "spiffe://shop.internal/service/orders"


def test_a_revoked_certificate(
    house: Authority, front: Front, orders: Instance
) -> None:
    """Whoever has its key gets no other one for it."""
    house.revoke("orders")
    answer = front.post(orders, request_of(orders))
    assert refusal(answer) == (403, "revoked")


def test_the_present_key_once_more(front: Front, orders: Instance) -> None:
    """A renewal brings a new key."""
    answer = front.post(orders, request_of(orders, key_of(orders)))
    assert refusal(answer) == (403, "used_key")


def test_an_earlier_key_once_more(
    house: Authority, front: Front, orders: Instance
) -> None:
    """A key that had a certificate before gets no other."""
    first = key_of(orders)
    key = ec.generate_private_key(ec.SECP256R1())
    renewed = certificate(front.post(orders, request_of(orders, key)))
    orders.turn(orders.write(Leaf(key, renewed, house.issuing)))
    assert refusal(front.post(orders, request_of(orders, first))) == (403, "used_key")


def test_somebody_elses_key(house: Authority, front: Front, orders: Instance) -> None:
    """A key that was certified for stock is not orders'."""
    stock = key_of(house.instance("stock"))
    answer = front.post(orders, request_of(orders, stock))
    assert refusal(answer) == (403, "foreign_key")


def test_an_identity_that_left_the_policy(
    house: Authority, front: Front, orders: Instance
) -> None:
    """Its certificate lives on until its end, and is not renewed."""
    house.configure(orders=None)
    answer = front.post(orders, request_of(orders))
    assert refusal(answer) == (403, "unknown_identity")


def test_names_that_left_the_policy(
    house: Authority, front: Front, orders: Instance
) -> None:
    """The roll-out gives the new ones; a renewal does not bring back the old."""
    house.configure(orders={"dns_names": ["orders.shop.internal"]})
    answer = front.post(orders, request_of(orders))
    assert refusal(answer) == (403, "foreign_names")


def test_a_key_of_another_kind(front: Front, orders: Instance) -> None:
    """What the CA takes is in `csrattrs`."""
    key = rsa.generate_private_key(65537, 2048)
    answer = front.post(orders, request_of(orders, key))
    assert refusal(answer) == (403, "wrong_key_type")


def test_too_often(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> None:
    """Each identity for itself, refused requests too; the answer says when to come."""
    rate = {"per_second": 0.01, "burst": 2}
    with enrolment(house, serve, tmp_path, rate=rate) as front:
        for _ in range(2):
            assert front.post(orders, b"!").status_code == 400
        answer = front.post(orders, request_of(orders))
        assert refusal(answer) == (429, "too_many_requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 100
        stock = house.instance("stock")
        certificate(front.post(stock, request_of(stock)))


def test_too_many_at_once(
    house: Authority, orders: Instance, serve: Serve, tmp_path: Path
) -> None:
    """While the play holds the CA, one may wait; the next is told to come again."""
    stock = house.instance("stock")
    with (
        enrolment(house, serve, tmp_path, waiting=1) as front,
        ThreadPoolExecutor(2) as callers,
    ):
        with locked(house):
            first, second = (
                callers.submit(front.post, one, request_of(one))
                for one in (orders, stock)
            )
            until(lambda: first.done() or second.done())
            early, late = (first, second) if first.done() else (second, first)
            assert refusal(early.result()) == (503, "temporarily_unavailable")
            assert int(early.result().headers["retry-after"]) > 0
        certificate(late.result())


def test_a_clock_behind_the_ledger_signs_nothing(
    house: Authority, front: Front, orders: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """The CA may sign again when its clock is right."""
    front.clock.move(days=-2)
    answer = front.post(orders, request_of(orders))
    assert refusal(answer) == (503, "temporarily_unavailable")
    assert "clock" in lines(caplog)[-1]["reason"]
    front.clock.move(days=2)
    certificate(front.post(orders, request_of(orders)))


def test_a_kept_connection_ends_with_its_certificate(
    front: Front, orders: Instance
) -> None:
    """Unless there is a grace, who slept past the end needs a play."""
    with front.client(orders) as client:
        assert client.get("/csrattrs").status_code == 200
        front.clock.set(orders.generation.not_after + timedelta(seconds=1))
        answer = client.post(
            "/simplereenroll",
            content=encoded(request_of(orders)),
            headers={"content-type": "application/pkcs10"},
        )
    assert refusal(answer) == (401, "invalid_certificate")
    assert answer.headers["connection"] == "close"


def test_no_client_certificate(front: Front, orders: Instance) -> None:
    """TLS ends the handshake, even for what is open to all clients."""
    context = ssl.create_default_context(cafile=orders.generation.bundle_path)
    with (
        socket.create_connection(("localhost", front.running.port)) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as tls,
        pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"),
    ):
        tls.recv(1)


def test_a_wrong_passphrase_opens_no_front(house: Authority) -> None:
    """It does not start, so that a mistake is seen at once."""
    house.passphrase.write_bytes(b"another passphrase, as long as it\n")
    office = Office(Layout(house.layout.directory), house.passphrase, clock=now)
    with pytest.raises(UnavailableError, match="wrong passphrase"):
        office.open()


def test_a_passphrase_that_others_may_read(house: Authority) -> None:
    """Mode 0600, or it is not taken."""
    house.passphrase.chmod(0o640)
    office = Office(Layout(house.layout.directory), house.passphrase, clock=now)
    with pytest.raises(UnavailableError, match="mode 0640"):
        office.open()
