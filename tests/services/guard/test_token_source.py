"""Tests of `services.guard.token_source`: tokens fetched, kept, renewed and refused."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from services.guard.token_source import (
    TokenSource,
    TokenUnavailableError,
)
from tests.services.asking import Asking
from tests.services.documents import ORDERS_AUDIENCE
from tests.services.logged import lines
from tests.services.mesh import Mesh, Serve
from tests.services.running import Tokens, token_service


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service."""
    with token_service(mesh, serve, tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture
def asking(tokens: Tokens, mesh: Mesh) -> Asking:
    """Return a storefront that asks it, for the first time."""
    tokens.seen.clear()
    return Asking(
        tokens.url, mesh.instance("storefront"), tokens.instance, tokens.clock
    )


def test_a_token_is_kept_while_it_is_young(asking: Asking, tokens: Tokens) -> None:
    """Four fifths of its life need no second request."""

    async def work(source: TokenSource, identity: Any) -> None:
        first = await source.token(ORDERS_AUDIENCE, "orders.read", identity.current())
        tokens.clock.move(seconds=239)
        again = await source.token(ORDERS_AUDIENCE, "orders.read", identity.current())
        assert again is first

    asking.run(work)
    assert tokens.asked("/token") == 1


def test_a_token_is_renewed_before_it_ends(asking: Asking, tokens: Tokens) -> None:
    """A fifth of its life is left for a second try."""

    async def work(source: TokenSource, identity: Any) -> None:
        first = await source.token(ORDERS_AUDIENCE, "orders.read", identity.current())
        tokens.clock.move(seconds=240)
        again = await source.token(ORDERS_AUDIENCE, "orders.read", identity.current())
        assert again.text != first.text

    asking.run(work)
    assert tokens.asked("/token") == 2


def test_calls_that_begin_together_share_a_token(
    asking: Asking, tokens: Tokens
) -> None:
    """One of them asks, the others wait."""

    async def work(source: TokenSource, identity: Any) -> None:
        generation = identity.current()
        held = await asyncio.gather(
            *(
                source.token(ORDERS_AUDIENCE, "orders.read", generation)
                for _ in range(10)
            )
        )
        assert len({token.text for token in held}) == 1

    asking.run(work)
    assert tokens.asked("/token") == 1


def test_another_scope_is_another_token(asking: Asking, tokens: Tokens) -> None:
    """A token does not reach further than its caller asked for."""

    async def work(source: TokenSource, identity: Any) -> None:
        generation = identity.current()
        read = await source.token(ORDERS_AUDIENCE, "orders.read", generation)
        write = await source.token(ORDERS_AUDIENCE, "orders.write", generation)
        assert read.text != write.text

    asking.run(work)


@pytest.mark.parametrize("same_key", [False, True])
def test_a_renewed_certificate_needs_a_new_token(
    asking: Asking, tokens: Tokens, *, same_key: bool
) -> None:
    """Even with the key kept: the token names the certificate (measured, F7)."""
    key = asking.caller.mesh.issue("storefront").key
    asking.caller.renew(key=key)

    async def work(source: TokenSource, identity: Any) -> None:
        first = await source.token(ORDERS_AUDIENCE, "orders.read", identity.current())
        asking.caller.renew(key=key if same_key else None)
        tokens.clock.move(seconds=1)
        again = await source.token(ORDERS_AUDIENCE, "orders.read", identity.current())
        assert again.text != first.text

    asking.run(work)
    assert tokens.seen[0].thumbprint != tokens.seen[1].thumbprint
    assert tokens.seen[0].port != tokens.seen[1].port


def test_a_refused_token_is_forgotten(asking: Asking, tokens: Tokens) -> None:
    """After `drop` the next call asks for a new one; another's is not dropped."""

    async def work(source: TokenSource, identity: Any) -> None:
        generation = identity.current()
        first = await source.token(ORDERS_AUDIENCE, "orders.read", generation)
        source.drop(first)
        second = await source.token(ORDERS_AUDIENCE, "orders.read", generation)
        source.drop(first)
        third = await source.token(ORDERS_AUDIENCE, "orders.read", generation)
        assert first.text != second.text == third.text

    asking.run(work)


def test_an_outage_is_outlived_with_the_token_that_is_held(
    mesh: Mesh, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed renewal is logged; only at its end is the token given up."""
    running = ExitStack()
    tokens = running.enter_context(token_service(mesh, serve, tmp_path))

    async def work(source: TokenSource, identity: Any) -> None:
        generation = identity.current()
        first = await source.token(ORDERS_AUDIENCE, "orders.read", generation)
        await asyncio.to_thread(running.close)
        tokens.clock.move(seconds=299)
        held = await source.token(ORDERS_AUDIENCE, "orders.read", generation)
        assert held.text == first.text
        again = await source.token(ORDERS_AUDIENCE, "orders.read", generation)
        assert again.text == first.text
        failed = [line["event"] for line in lines(caplog)]
        assert failed.count("token.renewal_failed") == 1  # not at every call
        tokens.clock.move(seconds=1)
        with pytest.raises(TokenUnavailableError) as refusal:
            await source.token(ORDERS_AUDIENCE, "orders.read", generation)
        assert refusal.value.code == "temporarily_unavailable"

    storefront = mesh.instance("storefront")
    Asking(tokens.url, storefront, tokens.instance, tokens.clock).run(work)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"resource": "https://stock.shop.internal"}, "invalid_target"),
        ({"scope": "orders.delete"}, "invalid_scope"),
    ],
)
def test_a_refusal_keeps_its_code(
    asking: Asking, changes: dict[str, str], code: str
) -> None:
    """The log of the caller says what the token service said."""
    with pytest.raises(TokenUnavailableError, match=code) as refusal:
        asking.token(**changes)
    assert refusal.value.code == code


def test_an_unknown_client_gets_nothing(asking: Asking) -> None:
    """A client that is not registered has no token."""
    asking.client_id = "nobody"
    with pytest.raises(TokenUnavailableError, match="401 invalid_client"):
        asking.token()


def test_another_service_is_no_token_service(asking: Asking, mesh: Mesh) -> None:
    """Whoever answers at the address must also be who was meant (6750, 5.2)."""
    asking.callee = mesh.instance("stock")
    with pytest.raises(TokenUnavailableError, match="expected spiffe://"):
        asking.token()
