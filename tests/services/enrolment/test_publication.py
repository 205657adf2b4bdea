"""What is published of revocations, fetched over real sockets without TLS."""

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from pki.pointers import authority_of
from services.config import EnrolmentConfig
from services.enrolment.publishing import publishing
from services.wire.server import AddressError
from tests.services.documents import enrolment_document, read
from tests.services.logged import lines, listen
from tests.services.published import Told, founded, path_of, publisher

GOOD, REVOKED = ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Return a CA that publishes."""
    with publisher(tmp_path) as running:
        yield running


def kinds(told: Told) -> list[str]:
    """Return one URL of each kind."""
    pointers = told.pointers(told.orders)
    return [pointers.crl, told.asking(told.orders), pointers.ca_issuers]


def test_a_list_is_where_the_certificate_says(told: Told) -> None:
    """Its issuer signed it, and what is revoked stands in its own list at once."""
    serial = told.stock.generation.serial
    before = told.get(told.pointers(told.stock).crl)
    assert before.headers["content-type"] == "application/pkix-crl"
    crl = x509.load_der_x509_crl(before.content)
    assert crl.is_signature_valid(told.house.issuing.public_key())  # type: ignore[arg-type]  # of our kind
    assert crl.get_revoked_certificate_by_serial_number(serial) is None
    told.house.revoke("stock")
    assert told.crl(told.stock).get_revoked_certificate_by_serial_number(serial)


@pytest.mark.parametrize("scope", ["full", "0", "1", "delta"])
def test_every_scope_is_published(told: Told, scope: str) -> None:
    """Full, delta and each shard of the issuing CA."""
    told.house.revoke("stock")
    told.house.revoke("orders")
    authority = authority_of(told.house.issuing)
    answer = told.get(f"{told.url}/crl/{authority}/{scope}.crl").raise_for_status()
    x509.load_der_x509_crl(answer.content)


def test_the_roots_list_is_published(told: Told) -> None:
    """Under the root's own key identifier."""
    authority = authority_of(told.house.root)
    answer = told.get(f"{told.url}/crl/{authority}/full.crl").raise_for_status()
    crl = x509.load_der_x509_crl(answer.content)
    assert crl.issuer == told.house.root.subject


@pytest.mark.parametrize("way", ["get", "post", "bare"])
def test_a_question_is_answered(told: Told, way: str) -> None:
    """By both methods, the base64 escaped or not: good, and revoked at once after."""

    def ask() -> httpx.Response:
        question = told.question(told.stock)
        bare = f"{told.url}/ocsp/{b64encode(question).decode()}"
        if way == "post":
            return told.post(question)
        return told.get(bare if way == "bare" else told.asking(told.stock))

    answer = ask()
    assert answer.headers["content-type"] == "application/ocsp-response"
    assert told.status(answer) == GOOD
    told.house.revoke("stock")
    assert told.status(ask()) == REVOKED


def test_an_answer_with_a_nonce_is_for_one(told: Told) -> None:
    """It comes back, and nobody may keep the answer (RFC 9654)."""
    answer = told.post(told.question(told.orders, b"n" * 32))
    response = ocsp.load_der_ocsp_response(answer.content)
    nonce = response.extensions.get_extension_for_class(x509.OCSPNonce)
    assert nonce.value.nonce == b"n" * 32
    assert answer.headers["cache-control"] == "no-store"
    assert "etag" not in answer.headers


@pytest.mark.parametrize("of", ["issuing", "root"])
def test_a_cas_certificate_is_published(told: Told, of: str) -> None:
    """In DER, the issuing CA's where its certificates say."""
    certificate = getattr(told.house, of)
    url = f"{told.url}/ca/{authority_of(certificate)}.cer"
    answer = told.get(url).raise_for_status()
    assert answer.headers["content-type"] == "application/pkix-cert"
    assert answer.content == certificate.public_bytes(Encoding.DER)
    assert (told.pointers(told.orders).ca_issuers == url) == (of == "issuing")


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_who_has_it_gets_it_not_again(told: Told, kind: int) -> None:
    """304 without a body to its own strong tag, alone or among others, weak or any."""
    url = kinds(told)[kind]
    first = told.get(url).raise_for_status()
    tag = first.headers["etag"]
    assert tag.startswith('"')
    for named in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = told.get(url, **{"If-None-Match": named})
        assert (again.status_code, again.content) == (304, b"")
        for header in ("etag", "last-modified", "cache-control"):
            assert again.headers[header] == first.headers[header]
    assert told.get(url, **{"If-None-Match": '"other"'}).content == first.content


def test_a_revocation_changes_the_tag(told: Told) -> None:
    """Who had the list and the answer before gets the new ones."""
    urls = [told.pointers(told.stock).crl, told.asking(told.stock)]
    tags = [told.get(url).headers["etag"] for url in urls]
    told.house.revoke("stock")
    for url, tag in zip(urls, tags, strict=True):
        assert told.get(url, **{"If-None-Match": tag}).status_code == 200


def test_a_date_proves_nothing(told: Told) -> None:
    """Two lists may be of one second, so If-Modified-Since is not honoured."""
    url = told.pointers(told.orders).crl
    since = told.get(url).headers["last-modified"]
    assert told.get(url, **{"If-Modified-Since": since}).status_code == 200


@pytest.mark.parametrize(("kind", "seconds"), [(0, 2), (1, 2), (2, 3600)])
def test_a_cache_may_keep_it_for_seconds(told: Told, kind: int, seconds: int) -> None:
    """Lists and answers for two, so that a revocation is seen; a certificate longer."""
    control = told.get(kinds(told)[kind]).headers["cache-control"]
    assert control == f"public, max-age={seconds}, must-revalidate, no-transform"


def test_the_last_change_is_the_lists_own(told: Told) -> None:
    """Last-Modified is thisUpdate."""
    answer = told.get(told.pointers(told.orders).crl)
    crl = x509.load_der_x509_crl(answer.content)
    assert parsedate_to_datetime(answer.headers["last-modified"]) == crl.last_update_utc


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_head_is_get_without_a_body(told: Told, kind: int) -> None:
    """The same fields, the length among them."""
    url = kinds(told)[kind]
    head, full = told.client.head(url), told.get(url)
    assert head.content == b""
    fields = ("etag", "content-length", "content-type", "cache-control")
    assert [head.headers[one] for one in fields] == [
        full.headers[one] for one in fields
    ]


def test_nothing_of_renewals_is_there(told: Told) -> None:
    """The listener without TLS knows no operation of EST, and no metrics."""
    for path in ("/.well-known/est/cacerts", "/metrics", "/healthz"):
        root = told.url.removesuffix(path_of(told.url))
        assert told.get(f"{root}{path}").status_code == 404


def test_nothing_is_published_unless_asked_for(tmp_path: Path) -> None:
    """Without the member there is no listener, and nobody looks at what is due."""
    silent = read(tmp_path, enrolment_document())
    assert isinstance(silent, EnrolmentConfig)
    with publishing(silent):
        names = {thread.name for thread in threading.enumerate()}
    assert not names & {"publication", "upkeep"}


def test_a_port_that_is_taken_is_an_error_at_the_start(told: Told) -> None:
    """The process does not go on without what its document says."""
    with pytest.raises(AddressError), publishing(told.config, clock=told.clock):
        pytest.fail("it has started")


def test_a_slow_sender_is_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a head holds a connection for no longer than the other listeners allow."""
    listen(caplog)
    monkeypatch.setattr("services.wire.patience.HEAD_SECONDS", 0.2)
    with publisher(tmp_path) as told:
        assert told.config.publication
        port = told.config.publication.port
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(b"GET /pki/crl/")
            assert slow.recv(1) == b""
    assert "http.head_refused" in {line["event"] for line in lines(caplog)}


def test_the_start_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the port."""
    listen(caplog)
    told = founded(tmp_path)
    assert told.config.publication
    with publishing(told.config, clock=told.clock):
        pass
    (line,) = [one for one in lines(caplog) if one["event"] == "publication.started"]
    assert line["port"] == told.config.publication.port
