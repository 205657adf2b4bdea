"""Tests of `services.guard.middleware` with what no server of ours would send."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from services.errors import ServiceError
from services.guard.errors import InsufficientScopeError
from services.guard.middleware import GuardMiddleware
from services.proof.errors import InvalidTokenError
from tests.services.guarding import workload
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import Tokens, token_service


@dataclass
class Guarded:
    """A guard around an application that notes what it is asked, and may raise."""

    tokens: Tokens
    caller: Instance
    directory: Path
    error: ServiceError | None = None
    late: bool = False
    asked: list[str] = field(default_factory=list)
    sent: list[dict[str, Any]] = field(default_factory=list)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Be asked."""
        self.asked.append(scope["type"])
        if scope["type"] == "http" and self.late:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        if self.error:
            raise self.error

    def call(self, kind: str = "http", **changes: Any) -> None:
        """Pass a good request through the guard, but for the `changes`."""
        asyncio.run(self._call({**self._good(), "type": kind, **changes}))

    def _good(self) -> dict[str, Any]:
        der = self.caller.generation.certificate.public_bytes(Encoding.DER)
        token = self.tokens.token(self.caller)
        return {
            "method": "GET",
            "path": "/orders",
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode())],
            "extensions": {"tls": {"client_cert": der}},
        }

    async def _call(self, scope: dict[str, Any]) -> None:
        async def send(message: Any) -> None:
            self.sent.append(message)

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        own = workload(self.tokens, self.caller.mesh.instance("orders"), self.directory)
        guard = GuardMiddleware(self.app, workload=own, clock=self.tokens.clock)
        try:
            await guard(scope, receive, send)
        finally:
            await own.aclose()


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service."""
    with token_service(mesh, serve, tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture
def guarded(tokens: Tokens, mesh: Mesh, tmp_path: Path) -> Guarded:
    """Return a guard and a caller with a good token."""
    return Guarded(tokens, mesh.instance("storefront"), tmp_path)


def test_a_good_request_passes(guarded: Guarded) -> None:
    """What is changed below is all that refuses there."""
    guarded.call()
    assert (guarded.asked, guarded.sent) == (["http"], [])


def test_a_websocket_is_refused(guarded: Guarded) -> None:
    """It would outlive the token that opened it, so it is closed unopened."""
    guarded.call("websocket")
    assert guarded.sent == [{"type": "websocket.close", "code": 1008}]
    assert guarded.asked == []


def test_start_and_stop_reach_the_application(guarded: Guarded) -> None:
    """The lifespan is no request."""
    guarded.call("lifespan")
    assert (guarded.asked, guarded.sent) == (["lifespan"], [])


@pytest.mark.parametrize(
    "extensions", [None, {}, {"tls": None}, {"tls": {"client_cert": None}}], ids=repr
)
def test_without_a_certificate_no_token_opens(
    guarded: Guarded, extensions: object
) -> None:
    """Behind a server that shows none, the guard lets nobody in."""
    guarded.call(extensions=extensions)
    assert guarded.sent[0]["status"] == 401
    assert (b"connection", b"close") in guarded.sent[0]["headers"]
    assert guarded.asked == []


def test_a_demand_before_the_answer_is_a_403(guarded: Guarded) -> None:
    """The application asks for a scope, and the guard says so for it."""
    guarded.error = InsufficientScopeError("orders.write", frozenset())
    guarded.call()
    assert [message.get("status") for message in guarded.sent] == [403, None]


def test_an_answer_that_has_begun_is_not_answered_twice(guarded: Guarded) -> None:
    """A demand that comes too late is a mistake of the application's."""
    guarded.error, guarded.late = InsufficientScopeError("x", frozenset()), True
    with pytest.raises(InsufficientScopeError):
        guarded.call()
    assert len(guarded.sent) == 1


def test_an_error_of_the_application_is_its_own(guarded: Guarded) -> None:
    """A token that it could not use elsewhere is no refusal of this request."""
    guarded.error = InvalidTokenError("from a call to another service")
    with pytest.raises(InvalidTokenError):
        guarded.call()
    assert guarded.sent == []
