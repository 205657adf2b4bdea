"""Tests of `services.guard.outbound` with what others answer: lies, and 401s."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.guard.outbound import BoundTokenAuth
from services.guard.token_source import TokenSource, TokenUnavailableError
from tests.services.asking import Asking, Liar, call
from tests.services.mesh import Mesh, Serve
from tests.services.running import Clock, Tokens, token_service


@pytest.fixture(scope="module")
def liar() -> Liar:
    """Return the application that answers as a test wants it."""
    return Liar()


@pytest.fixture(scope="module")
def asking(liar: Liar, mesh: Mesh, serve: Serve) -> Iterator[Asking]:
    """Return a storefront that takes the liar for its token service."""
    callee = mesh.instance("token-service")
    with serve(liar, callee) as running:
        yield Asking(running.url, mesh.instance("storefront"), callee, Clock())


def answer(**changes: Any) -> bytes:
    """Return a good answer of a token service, but for the `changes`."""
    good = {"access_token": "abc", "token_type": "Bearer", "expires_in": 300}
    return json.dumps({**good, **changes}).encode()


@pytest.mark.parametrize("token_type", ["Bearer", "bearer", "BEARER"])
def test_the_type_of_a_token_has_no_case(
    liar: Liar, asking: Asking, token_type: str
) -> None:
    """The good answer that is spoilt below (RFC 6749, section 7.1)."""
    liar.answer(200, answer(token_type=token_type))
    assert asking.token().text == "abc"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(200, b"", id="empty"),
        pytest.param(200, b"<html>", id="no-json"),
        pytest.param(200, b"[]", id="array"),
        pytest.param(200, b'{"access_token":"abc"}', id="half"),
        pytest.param(200, answer(access_token=""), id="no-token"),
        pytest.param(200, answer(access_token="a\nb"), id="two-lines"),
        pytest.param(200, answer(access_token="é"), id="not-ascii"),
        pytest.param(200, answer(token_type="DPoP"), id="another-type"),
        pytest.param(200, answer(expires_in="300"), id="life-text"),
        pytest.param(200, answer(expires_in=0), id="no-life"),
        pytest.param(200, answer(expires_in=-1), id="negative-life"),
        pytest.param(200, answer(expires_in=10**15), id="endless-life"),
        pytest.param(302, b"", id="redirect"),
        pytest.param(400, b"<html>", id="refusal-without-json"),
        pytest.param(400, b"{}", id="refusal-without-code"),
        pytest.param(503, b"", id="unavailable"),
    ],
)
def test_a_strange_answer_is_no_token(
    liar: Liar, asking: Asking, status: int, body: bytes
) -> None:
    """What is not whole, not ours to use or not to be believed gives no token."""
    liar.answer(status, body)
    with pytest.raises(TokenUnavailableError) as refusal:
        asking.token()
    assert refusal.value.code == "temporarily_unavailable"


# The answer of the service that is called


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service that tells the truth."""
    with token_service(mesh, serve, tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture
def honest(tokens: Tokens, mesh: Mesh) -> Asking:
    """Return a storefront that asks it, for the first time."""
    tokens.seen.clear()
    return Asking(
        tokens.url, mesh.instance("storefront"), tokens.instance, tokens.clock
    )


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_after_a_401_one_more_try_is_made_with_a_new_token(
    honest: Asking, tokens: Tokens, liar: Liar, asking: Asking, method: str
) -> None:
    """A token may have been withdrawn: the second answer counts, whatever it is."""
    liar.answer(401)
    assert call(honest, asking.callee, asking.url, method=method, content=b"x") == 401
    first, second = liar.asked
    assert first.startswith("Bearer ey")
    assert first != second
    assert tokens.asked("/token") == 2


@pytest.mark.parametrize("status", [200, 400, 403, 503])
def test_other_answers_are_final(
    honest: Asking, tokens: Tokens, liar: Liar, asking: Asking, status: int
) -> None:
    """A new token would not help."""
    liar.answer(status)
    assert call(honest, asking.callee, asking.url) == status
    assert len(liar.asked) == tokens.asked("/token") == 1


def test_a_body_that_is_gone_is_not_sent_again(
    honest: Asking, liar: Liar, asking: Asking
) -> None:
    """A stream can be read once, so its request is made once."""

    async def stream() -> Any:
        yield b"x"

    liar.answer(401)
    assert call(honest, asking.callee, asking.url, content=stream()) == 401
    assert len(liar.asked) == 1


def test_a_blocking_client_is_refused(honest: Asking) -> None:
    """It is a mistake in how the application is put together."""

    async def work(source: TokenSource, identity: Any) -> httpx.Auth:
        return BoundTokenAuth(source, identity, resource="x", scopes=frozenset())

    with (
        httpx.Client(auth=honest.run(work), trust_env=False) as client,
        pytest.raises(RuntimeError, match="AsyncClient"),
    ):
        client.get("https://localhost")
