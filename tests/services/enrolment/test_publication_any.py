"""Whatever anybody sends to the listener that is for everybody: never a 5xx."""

from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.published import Told, publisher

RELAXED = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"])
PLACES = st.sampled_from(
    ["/crl/", "/ocsp/", "/ocsp", "/ca/", "/", "", "/crl/{own}/", "/ca/{own}.cer"]
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Return a CA that publishes."""
    with publisher(tmp_path_factory.mktemp("told")) as running:
        yield running


def is_answer(answer: httpx.Response) -> bool:
    """Return whether an answer is one: of the caller's fault at worst."""
    return answer.status_code < 500


@RELAXED
@given(method=METHODS, place=PLACES, rest=st.binary(max_size=200), tag=st.text())
def test_any_path_has_an_answer(
    told: Told, method: str, place: str, rest: bytes, tag: str
) -> None:
    """Any octets, escaped, in any place of the path, and any tag."""
    own = told.pointers(told.orders).crl.split("/")[-2]
    url = f"{told.url}{place.format(own=own)}{quote(rest)}"
    headers = {"if-none-match": tag.encode("utf-8", "replace").hex()}
    assert is_answer(told.client.request(method, url, headers=headers))


@RELAXED
@given(body=st.binary(max_size=300), kind=st.sampled_from(["ocsp-request", "x", ""]))
def test_any_body_has_an_answer(told: Told, body: bytes, kind: str) -> None:
    """Of the right kind or another, in the body or the path."""
    assert is_answer(told.post(body, f"application/{kind}"))
    path = quote(b64encode(body).decode(), safe="")
    assert is_answer(told.get(f"{told.url}/ocsp/{path}"))


@RELAXED
@given(data=st.data())
def test_any_change_to_a_question_has_an_answer(
    told: Told, data: st.DataObject
) -> None:
    """A real one with some octets changed, and cut off somewhere."""
    question = bytearray(told.question(told.orders, b"n" * 32))
    places = st.integers(0, len(question) - 1)
    for place, octet in data.draw(st.dictionaries(places, st.integers(0, 255))).items():
        question[place] = octet
    assert is_answer(told.post(bytes(question[: data.draw(places) + 1])))
    assert is_answer(told.post(bytes(question)))
