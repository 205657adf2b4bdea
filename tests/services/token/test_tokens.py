"""Tests of `services.token.tokens`: what is handed out, and what the store keeps."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.proof.access_token import AccessToken
from services.proof.errors import InvalidTokenError
from services.token.tokens import token_type
from tests.services.fleet import replicas
from tests.services.logged import lines, listen
from tests.services.mesh import Mesh, Serve
from tests.services.state.redis_server import RedisServer
from tests.services.token.issued import ISSUED, Issuing, issuing, token


@pytest.fixture
def made(tmp_path: Path) -> Issuing:
    """Return the tokens of one replica."""
    return issuing(tmp_path)


@pytest.mark.parametrize("opaque", [False, True], ids=["jwt", "opaque"])
def test_what_is_issued_is_read_back(made: Issuing, *, opaque: bool) -> None:
    """Reading either kind says what was issued, binding and all."""
    wanted = token(actor={"sub": "orders"})

    async def work() -> AccessToken:
        text = await made.tokens.issue(wanted, opaque=opaque)
        return await made.tokens.read(text, ISSUED)

    assert made.run(work) == wanted


def test_an_opaque_token_says_nothing(made: Issuing) -> None:
    """It is 256 random bits behind a prefix, and another one every time."""

    async def work() -> set[str]:
        return {await made.tokens.issue(token(), opaque=True) for _ in range(20)}

    texts = made.run(work)
    assert len(texts) == 20
    assert all(text.startswith("cbo_") and len(text) == 47 for text in texts)


def test_the_database_holds_no_token(made: Issuing, tmp_path: Path) -> None:
    """Who steals the file and its companions finds nothing to show (9700, 4.9.2)."""

    def kept() -> bytes:
        return b"".join(path.read_bytes() for path in tmp_path.glob("shared.sqlite*"))

    async def work() -> tuple[str, bytes]:
        return await made.tokens.issue(token(), opaque=True), kept()

    text, found = made.run(work)
    for database in (found, kept()):
        assert token().token_id.encode() in database  # the record is there
        assert text.removeprefix("cbo_").encode() not in database


def test_what_the_database_holds_is_no_handle(made: Issuing) -> None:
    """The name under which the nonces' secret is kept opens it for nobody."""

    async def work() -> None:
        await made.tokens.store.put_token("secret x", b"s", token().expires_at)
        for text in ("secret x", "cbo_secret x"):
            with pytest.raises(InvalidTokenError):
                await made.tokens.read(text, ISSUED)

    made.run(work)


@pytest.mark.parametrize("opaque", [False, True], ids=["jwt", "opaque"])
def test_each_kind_ends_in_time(made: Issuing, *, opaque: bool) -> None:
    """At its end a token is over, to the second."""

    async def work() -> None:
        text = await made.tokens.issue(token(), opaque=opaque)
        ends = token().expires_at
        await made.tokens.read(text, ends - timedelta(seconds=1))
        with pytest.raises(InvalidTokenError):
            await made.tokens.read(text, ends)

    made.run(work)


@pytest.mark.parametrize("opaque", [False, True], ids=["jwt", "opaque"])
def test_each_kind_can_be_revoked(made: Issuing, *, opaque: bool) -> None:
    """A revoked token is genuine, in time and void."""

    async def work() -> None:
        text = await made.tokens.issue(token(), opaque=opaque)
        await made.tokens.store.revoke(token().token_id, token().expires_at)
        with pytest.raises(InvalidTokenError, match="was revoked"):
            await made.tokens.read(text, ISSUED)

    made.run(work)


@pytest.mark.parametrize("opaque", [False, True], ids=["jwt", "opaque"])
def test_a_token_that_was_read_is_looked_at_again(
    made: Issuing, *, opaque: bool
) -> None:
    """What was good a moment ago is over in time, and void once it is revoked."""

    async def work() -> None:
        text = await made.tokens.issue(token(), opaque=opaque)
        ends = token().expires_at
        for _ in range(2):
            assert await made.tokens.read(text, ISSUED) == token()
        with pytest.raises(InvalidTokenError, match="expired"):
            await made.tokens.read(text, ends)
        await made.tokens.store.revoke(token().token_id, ends)
        with pytest.raises(InvalidTokenError, match="was revoked"):
            await made.tokens.read(text, ISSUED)

    made.run(work)


def test_each_opaque_token_is_its_own(made: Issuing) -> None:
    """None is taken for another, be it the first or the last of many that were read."""

    async def work() -> None:
        issued = [token(token_id=f"number {number}") for number in range(1200)]
        texts = [await made.tokens.issue(one, opaque=True) for one in issued]
        for _ in range(2):  # the first ones are forgotten before they come again
            read = [await made.tokens.read(text, ISSUED) for text in texts]
            assert read == issued
        with pytest.raises(InvalidTokenError, match="nobody was given"):
            await made.tokens.read(texts[-1] + "x", ISSUED)

    made.run(work)


@pytest.mark.parametrize("text", ["", "cbo_", "cbo_x", "a.b.c", "\ud800", "x" * 9000])
def test_garbage_is_an_invalid_token(made: Issuing, text: str) -> None:
    """Whatever a form can hold is refused in our words."""

    async def work() -> None:
        with pytest.raises(InvalidTokenError):
            await made.tokens.read(text, ISSUED)

    made.run(work)


def test_another_issuers_token_is_refused(made: Issuing, tmp_path: Path) -> None:
    """A token of ours by its signature, and another issuer's by its word."""

    async def work() -> None:
        text = await made.tokens.issue(token(issuer="https://other"), opaque=False)
        with pytest.raises(InvalidTokenError, match="issued by"):
            await made.tokens.read(text, ISSUED)

    made.run(work)


@pytest.mark.parametrize(
    ("confirmation", "kind"),
    [({"jkt": "x"}, "DPoP"), ({"x5t#S256": "x"}, "Bearer"), (None, "Bearer")],
    ids=["key", "certificate", "none"],
)
def test_the_type_is_that_of_the_binding(confirmation: Any, kind: str) -> None:
    """Only what is bound to a key is sent under DPoP (RFC 9449, section 5)."""
    assert token_type(token(confirmation=confirmation)) == kind


def test_without_the_store_nothing_opaque_is_issued_or_read(
    mesh: Mesh, serve: Serve, tmp_path: Path
) -> None:
    """Issuing, asking and revoking answer 503, and work again when it is back."""
    storefront, orders = mesh.instance("storefront"), mesh.instance("orders")
    with (
        RedisServer.started() as redis,
        replicas(mesh, serve, tmp_path, store=redis.url) as (tokens,),
    ):
        kept = tokens.token(storefront, client_id="opaque")
        asking = {"client_id": "orders", "token": kept}
        redis.kill()
        signed = tokens.token(storefront)  # a JWT needs no store
        for answer in (
            tokens.ask(storefront, client_id="opaque"),
            tokens.post(orders, "/introspect", **asking),
            tokens.post(storefront, "/revoke", client_id="opaque", token=kept),
            tokens.post(storefront, "/revoke", client_id="storefront", token=signed),
        ):
            assert answer.status_code == 503
            assert answer.json()["error"] == "temporarily_unavailable"
            assert answer.headers["retry-after"]
            assert answer.headers["cache-control"] == "no-store"
        with tokens.client(storefront) as client:
            assert client.get("/revocations").status_code == 503
        redis.start()
        assert tokens.ask(storefront, client_id="opaque").status_code == 200
        answer = tokens.post(orders, "/introspect", **asking)
        assert answer.json()["active"] is True


def test_an_opaque_token_in_the_wrong_place_is_not_logged(
    mesh: Mesh, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller's mistake must not put a token into our log, nor do we."""
    storefront = mesh.instance("storefront")
    with replicas(mesh, serve, tmp_path) as (tokens,):
        listen(caplog)
        text = tokens.token(storefront, client_id="opaque")
        for name in ("client_id", "grant_type", "resource", "scope"):
            tokens.ask(storefront, **{name: text})
        tokens.post(storefront, "/revoke", client_id="opaque", token=text)
    assert len(lines(caplog)) == 6
    assert text not in str(lines(caplog))
