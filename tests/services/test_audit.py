"""Tests of `services.audit`: one line a decision, whatever is decided and sent."""

import asyncio
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.responses import Response
from starlette.types import Message, Receive, Scope

from services import audit
from services.buckets import Buckets
from services.errors import ServiceError
from services.gateway.errors import TooManyTokensError
from services.guard import middleware
from services.guard.errors import InsufficientScopeError, RequestRefusedError
from services.guard.middleware import GuardMiddleware
from services.guard.revocations import RevocationsUnknownError
from services.log import JsonFormatter
from services.openapi import below
from services.proof.dpop_errors import InvalidProofError
from services.proof.errors import InvalidTokenError
from services.proof.key_set import KeySetUnavailableError
from services.rates import Rate
from services.state.store import StateUnavailableError
from services.token.call import Call, Seen
from services.token.endpoint import Endpoint
from services.token.errors import TokenRequestError, TooManyRequestsError
from services.token.limits import Limits
from services.wire.peer import presented_of
from tests.services.guarding import Service, bearer, guarded, workload
from tests.services.logged import lines, listen, only_line
from tests.services.mesh import Instance, Leaf, Mesh, Serve, now
from tests.services.peers import scope_of
from tests.services.running import Tokens, request, token_service

POSTS = {"token": "/token", "introspection": "/introspect", "revocation": "/revoke"}
MEMBERS = {"event", "outcome", "client_id", "peer", "certificate"}
OF_A_REFUSAL = MEMBERS | {"cause", "code", "reason"}
UNAVAILABLE = {KeySetUnavailableError, RevocationsUnknownError, StateUnavailableError}


def made(kind: type[Any]) -> Any:
    """Return an error of any class."""
    if kind in {TooManyRequestsError, TooManyTokensError}:
        return kind("the reason", timedelta(seconds=1))
    if kind is InsufficientScopeError:
        return kind("orders.write", frozenset())
    return kind("the reason")


def ordered(*kinds: type[ServiceError]) -> list[type[ServiceError]]:
    """Return every class below, in an order of their own."""
    found = set().union(*(below(kind) for kind in kinds))
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


@pytest.fixture(scope="module")
def leaf(mesh: Mesh) -> Leaf:
    """Return the certificate of whoever is refused."""
    return mesh.issue("storefront")


def scope(leaf: Leaf) -> dict[str, Any]:
    """Return a request over a connection of `leaf`."""
    return {
        **scope_of(leaf),
        "type": "http",
        "method": "GET",
        "path": "/orders",
        "headers": [],
        "query_string": b"",
    }


class Refusing:
    """An admission that learns who asks, and then refuses."""

    def __init__(self, error: TokenRequestError) -> None:
        self.error = error

    async def admit(self, asked: Scope, _receive: Receive, seen: Seen) -> Call:
        """Refuse."""
        seen.peer = presented_of(asked, now=now())
        seen.client_id = "storefront"
        raise self.error


async def unread() -> Message:
    """Say nothing, for nobody reads so far."""
    raise AssertionError("read")


async def unlooked_at(_message: Message) -> None:
    """Take an answer."""


async def never(_call: Call) -> Response:
    """Handle no request, for none gets this far."""
    raise AssertionError("admitted")


@pytest.mark.parametrize("name", POSTS)
@pytest.mark.parametrize("kind", ordered(TokenRequestError))
def test_every_refusal_of_an_endpoint_is_one_line(
    leaf: Leaf, name: str, kind: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    """It says who, what, by which certificate, and why, to which code."""
    limits = Limits(lambda: Rate(per_second=1, burst=1), Buckets())
    endpoint = Endpoint(name, Refusing(made(kind)), limits, never)  # type: ignore[arg-type]
    asyncio.run(endpoint(scope(leaf), unread, unlooked_at))
    line = only_line(caplog)
    assert line.keys() >= OF_A_REFUSAL
    assert (line["event"], line["outcome"]) == (f"{name}.refused", "refused")
    assert (line["cause"], line["code"]) == (kind.__name__, kind.code)
    assert line["client_id"] == "storefront"
    assert line["peer"] == "spiffe://shop.internal/service/storefront"
    assert line["certificate"] == format(leaf.certificate.serial_number, "x")
    assert line["reason"] == str(made(kind))


GUARDED = [*ordered(RequestRefusedError, InvalidTokenError, InvalidProofError)]
GUARDED += sorted(UNAVAILABLE, key=str)
GUARDED.remove(RequestRefusedError)  # never raised itself


@pytest.mark.parametrize("kind", GUARDED)
def test_every_refusal_of_a_guard_is_one_line(
    tokens: Tokens,
    tmp_path: Path,
    kind: type[ServiceError],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It says who, what, by which certificate, and why, to which code."""
    mesh = tokens.instance.mesh
    leaf = mesh.issue("storefront")

    async def refuse(*_case: object) -> None:
        raise made(kind)

    async def send(_message: Message) -> None:
        pass

    monkeypatch.setattr(middleware, "judge", refuse)
    own = workload(tokens, mesh.instance("orders"), tmp_path)
    guard = GuardMiddleware(never, workload=own)  # type: ignore[arg-type]
    asyncio.run(guard(scope(leaf), send, send))  # type: ignore[arg-type]
    line = only_line(caplog)
    assert line.keys() >= OF_A_REFUSAL | {"method", "path"}
    assert (line["event"], line["outcome"]) == ("request.refused", "refused")
    assert (line["cause"], line["code"]) == (kind.__name__, kind.code)
    assert (line["method"], line["path"]) == ("GET", "/orders")
    assert line["certificate"] == format(leaf.certificate.serial_number, "x")
    assert line["reason"] == str(made(kind))


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service."""
    with token_service(mesh, serve, tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture(scope="module")
def orders(
    mesh: Mesh, serve: Serve, tokens: Tokens, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """Return a guarded service."""
    directory = tmp_path_factory.mktemp("orders")
    with guarded(tokens, serve, mesh.instance("orders"), directory) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the caller."""
    return mesh.instance("storefront")


def granted(line: dict[str, Any], event: str, caller: Instance) -> None:
    """Check that a line says who was granted what, by which certificate."""
    assert line.keys() >= MEMBERS
    assert (line["event"], line["outcome"]) == (event, "granted")
    assert line["peer"] == str(caller.spiffe_id)
    assert line["certificate"] == format(caller.generation.serial, "x")


def test_a_token_that_is_issued_is_one_line(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """With its id, by which all later lines know it."""
    listen(caplog)
    tokens.token(storefront)
    line = only_line(caplog)
    granted(line, "token.issued", storefront)
    assert line["client_id"] == "storefront"
    assert line["token_id"]


@pytest.mark.parametrize("active", [True, False])
def test_a_question_about_a_token_is_one_line(
    tokens: Tokens,
    mesh: Mesh,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
    *,
    active: bool,
) -> None:
    """Whether there was something to tell, and to whom."""
    token = tokens.token(storefront) if active else "x"
    asking = mesh.instance("orders")
    listen(caplog)
    with tokens.client(asking) as client:
        client.post("/introspect", data={"client_id": "orders", "token": token})
    line = only_line(caplog)
    granted(line, "introspection.answered", asking)
    assert line["active"] is active


@pytest.mark.parametrize(
    ("known", "event"), [(True, "token.revoked"), (False, "revocation.of_nothing")]
)
def test_a_revocation_is_one_line(
    tokens: Tokens,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
    event: str,
    *,
    known: bool,
) -> None:
    """Of nothing, too: the caller is told no difference, the log's reader is."""
    token = tokens.token(storefront) if known else "x"
    listen(caplog)
    with tokens.client(storefront) as client:
        client.post("/revoke", data=request(token=token)).raise_for_status()
    line = only_line(caplog)
    granted(line, event, storefront)
    assert line["client_id"] == "storefront"


def test_what_a_guard_lets_in_is_told_to_who_debugs(
    tokens: Tokens,
    orders: Service,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One line as the others; at the level of our processes there is none."""
    token = tokens.token(storefront)
    listen(caplog)
    assert orders.get(storefront, token).status_code == 200
    assert lines(caplog) == []
    caplog.set_level(logging.DEBUG, "certbound")
    assert orders.get(storefront, token).status_code == 200
    line = only_line(caplog)
    granted(line, "request.accepted", storefront)
    assert (line["client_id"], line["path"]) == ("storefront", "/orders")


def test_no_token_is_in_any_line(
    tokens: Tokens,
    orders: Service,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Wherever a caller puts it: in each parameter, header and path."""
    caplog.set_level(logging.DEBUG, "certbound")
    token = tokens.token(storefront)
    opaque = f"cbo_{'A1_-' * 10}xyz"
    with tokens.client(storefront) as client, orders.client(storefront) as guarding:
        for text in (token, opaque):
            for path in POSTS.values():
                for name in (*request(), "token", "subject_token", "client_assertion"):
                    form = {**request(token="x"), name: text}
                    client.post(path, data=form, headers={"DPoP": text})
                    client.post(path, data=form)
            guarding.get(f"/{text}", headers=bearer(text))
            guarding.get(f"/?access_token={text}")
            guarding.get("/orders", headers={"Authorization": f"DPoP {text}"})
    written = json.dumps(lines(caplog))
    assert len(lines(caplog)) > 50
    for text in (token, opaque):
        assert text not in written
        for part in text.split("."):
            assert part not in written


def test_no_request_can_write_a_line_of_its_own(
    tokens: Tokens,
    orders: Service,
    storefront: Instance,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each request is one line, whatever is in it."""
    forged = '\r\n{"event": "token.issued", "outcome": "granted"}\n\u2028\x85\x1b[2J'
    caplog.set_level(logging.DEBUG, "certbound")
    with tokens.client(storefront) as client, orders.client(storefront) as guarding:
        for name in request():
            client.post("/token", data=request(**{name: forged}))
        guarding.get(str(httpx.URL("/x", params={"q": forged})))
        guarding.get(f"/{httpx.QueryParams({'a': forged})}")
    formatter = JsonFormatter()
    written = [
        formatter.format(record)
        for record in caplog.records
        if record.name == "certbound"
    ]
    assert len(written) == len(request()) + 2
    for text in written:
        assert len(text.splitlines()) == 1
        assert json.loads(text)["outcome"] == "refused"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(), st.text(), st.text())
def test_any_text_is_a_value_of_one_line(
    caplog: pytest.LogCaptureFixture, client_id: str, reason: str, path: str
) -> None:
    """It is read back as it was, in the member where it was put."""
    caplog.clear()
    error = ServiceError(reason)
    audit.refused(
        "request.refused",
        error,
        client_id=client_id,
        peer=None,
        certificate=None,
        path=path,
    )
    (record,) = caplog.records
    text = JsonFormatter().format(record)
    assert text.isascii()
    assert text.isprintable()
    line = json.loads(text)
    assert (line["event"], line["outcome"]) == ("request.refused", "refused")
    assert (line["client_id"], line["reason"]) == (client_id, reason)
    assert line["path"] == path
