"""What is not published is refused: each time one thing is wrong, and it says which."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from pki.pointers import authority_of
from pki.rotation_steps import Phase, What
from services.metrics import value
from tests.pki.builders import Ca
from tests.pki.rotating import Rotating
from tests.services.logged import lines, listen
from tests.services.mesh import Mesh
from tests.services.published import Told, founded, publisher

Status = ocsp.OCSPResponseStatus


@pytest.fixture
def told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Told]:
    """Return a CA that publishes."""
    with publisher(tmp_path) as running:
        listen(caplog)
        yield running


def refused(
    answer: httpx.Response, caplog: pytest.LogCaptureFixture
) -> tuple[int, str]:
    """Return status and code of a refusal: a line of plain text, and one of the log."""
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    code, _, description = answer.text.partition(": ")
    assert description.count("\n") == 1
    said = [line for line in lines(caplog) if line["event"] == "publication.refused"]
    assert said[-1]["code"] == code
    return answer.status_code, code


@pytest.mark.parametrize(
    "below",
    ["/crl/{own}/2.crl", "/crl/00/full.crl", "/crl/{own}/full", "/ca/00.cer", "/x"],
)
def test_what_is_not_there_is_not_found(
    told: Told, below: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A scope that has no list, a CA that is none, a path that leads nowhere."""
    own = authority_of(told.house.issuing)
    answer = told.get(told.url + below.format(own=own))
    assert refused(answer, caplog) == (404, "not_found")


def test_the_path_before_is_part_of_the_name(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """A list is not found without what the policy's URL has before it."""
    url = told.pointers(told.orders).crl.replace("/pki/", "/")
    assert refused(told.get(url), caplog) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "place", "allowed"),
    [
        ("POST", "crl", "GET, HEAD"),
        ("DELETE", "ca_issuers", "GET, HEAD"),
        ("GET", "ocsp", "POST"),
    ],
)
def test_another_method_is_not_allowed(
    told: Told,
    method: str,
    place: str,
    allowed: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the answer says which are."""
    url = getattr(told.pointers(told.orders), place)
    answer = told.client.request(method, url)
    assert refused(answer, caplog) == (405, "method_not_allowed")
    assert {*answer.headers["allow"].split(", ")} == {*allowed.split(", ")}


@pytest.mark.parametrize("encoded", ["a", "!!!!", "MAA", "%00%00%00%00", "é"])
def test_a_question_that_is_no_base64_is_unreadable(
    told: Told, encoded: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Cut short, of other characters, without its padding."""
    answer = told.get(f"{told.url}/ocsp/{encoded}")
    assert refused(answer, caplog) == (400, "request_unreadable")


def test_a_question_in_the_path_has_an_end(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """Longer than what a body may have, it is not looked at."""
    answer = told.get(f"{told.url}/ocsp/{b64encode(bytes(18_000)).decode()}")
    assert refused(answer, caplog) == (400, "request_unreadable")


def test_a_body_has_an_end(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """One byte more than 16 KiB is too much."""
    answer = told.post(bytes(16 * 1024 + 1))
    assert refused(answer, caplog) == (413, "request_too_large")


def test_a_body_of_another_kind_is_refused(
    told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer says which is expected."""
    answer = told.post(told.question(told.orders), "application/pkcs10")
    assert "application/ocsp-request" in answer.text
    assert refused(answer, caplog) == (415, "unsupported_media_type")


@pytest.mark.parametrize("question", ["none", "of another CA"])
def test_ocsp_says_no_in_its_own_words(
    told: Told, question: str, mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """Unsigned, not to be kept, and a line of the log (RFC 6960, section 2.3)."""
    other = mesh.instance("orders").generation.certificate
    body, status = b"none", Status.MALFORMED_REQUEST
    if question != "none":
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            other, mesh.root, hashes.SHA256()
        )
        body = builder.build().public_bytes(Encoding.DER)
        status = Status.UNAUTHORIZED
    answer = told.post(body)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert ocsp.load_der_ocsp_response(answer.content).response_status == status
    line = [one for one in lines(caplog) if one["event"] == "publication.refused"][-1]
    assert line["code"] == status.name.lower()


def outdated(what: str) -> float:
    """Return how often something was asked for after it had run out."""
    return value("certbound_outdated_total", what=what)


@pytest.fixture
def forgotten(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Told]:
    """Return a CA that publishes what it has, and cannot make more."""
    told = founded(tmp_path)
    told.house.passphrase.write_bytes(b"another")
    with publisher(tmp_path, told=told) as running:
        listen(caplog)
        yield running


def test_a_list_that_has_run_out_is_not_served(
    forgotten: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """503 to whoever has it too, an error in the log, and a count."""
    url = forgotten.pointers(forgotten.orders).crl
    first, before = forgotten.get(url), outdated("crl")
    end = x509.load_der_x509_crl(first.content).next_update_utc
    assert end
    forgotten.clock.moment = end
    again = forgotten.get(url, **{"If-None-Match": first.headers["etag"]})
    assert refused(again, caplog) == (503, "outdated")
    assert again.headers["retry-after"] == "60"
    assert outdated("crl") == before + 1
    alarms = [one for one in lines(caplog) if one["event"] == "publication.outdated"]
    assert [one["level"] for one in alarms] == ["error"]


def test_the_list_of_a_ca_that_has_ended_is_no_alarm(
    forgotten: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not made any more, and nothing verifies under it: it is not there."""
    before = outdated("crl")
    forgotten.clock.moment = forgotten.house.issuing.not_valid_after_utc
    answer = forgotten.get(forgotten.pointers(forgotten.orders).crl)
    assert refused(answer, caplog) == (404, "not_found")
    assert outdated("crl") == before


def test_the_list_of_a_distrusted_ca_is_no_alarm(
    forgotten: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """Its root's list says all; its own last one is served as long as it lasts."""
    url, before = forgotten.pointers(forgotten.orders).crl, outdated("crl")
    ca = Ca(forgotten.house.layout)
    Rotating(ca, What.ISSUING).hurry(Phase.DISTRUSTING)
    last = x509.load_der_x509_crl(forgotten.get(url).content).next_update_utc
    assert last
    forgotten.clock.moment = last
    assert refused(forgotten.get(url), caplog) == (404, "not_found")
    assert outdated("crl") == before


def test_a_list_is_kept_no_longer_than_it_lasts(forgotten: Told) -> None:
    """In its last second a cache is told so."""
    url = forgotten.pointers(forgotten.orders).crl
    end = x509.load_der_x509_crl(forgotten.get(url).content).next_update_utc
    assert end
    forgotten.clock.moment = end
    forgotten.clock.move(seconds=-1)
    assert "max-age=1," in forgotten.get(url).headers["cache-control"]


def test_a_responder_that_has_run_out_says_later(
    forgotten: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """After a week without a new certificate nothing is signed: an alarm."""
    before = outdated("ocsp")
    forgotten.clock.move(days=8)
    answer = forgotten.post(forgotten.question(forgotten.orders))
    status = ocsp.load_der_ocsp_response(answer.content).response_status
    assert status == Status.TRY_LATER
    assert outdated("ocsp") == before + 1
    alarms = [one for one in lines(caplog) if one["event"] == "publication.outdated"]
    assert [one["code"] for one in alarms] == ["try_later"]


@pytest.mark.parametrize("place", ["crl", "ca_issuers", "ocsp"])
def test_a_ledger_that_is_gone_is_an_outage(
    told: Told, place: str, caplog: pytest.LogCaptureFixture
) -> None:
    """503, never a list that might be an old one, and never "unknown"."""
    question = told.question(told.orders)
    url = getattr(told.pointers(told.orders), place)
    told.house.layout.ledger.unlink()
    answer = told.post(question) if place == "ocsp" else told.get(url)
    assert refused(answer, caplog) == (503, "temporarily_unavailable")
