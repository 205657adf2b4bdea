"""Tests of what a gateway notes: one line a decision, and one count."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from services import metrics
from services.gateway import app as module
from services.gateway import errors
from services.gateway.app import create_app
from services.gateway.errors import GatewayError, TooManyTokensError
from services.openapi import below
from services.proof.introspection_errors import IntrospectionError
from tests.services.gateway.standing import Edge
from tests.services.logged import lines, listen, only_line
from tests.services.mesh import Mesh
from tests.services.peers import scope_of
from tests.services.test_audit import GUARDED, MEMBERS, OF_A_REFUSAL, made, ordered

DECISIONS = "certbound_guard_decisions_total"


def counted(kind: type[Any] | None = None) -> float:
    """Return how many were let in, or refused with an error of `kind`."""
    if kind is None:
        return metrics.value(DECISIONS, outcome="answered", reason="")
    return metrics.value(DECISIONS, outcome="refused", reason=kind.__name__)


def test_what_passes_is_one_line_and_one_count(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    """It says who, by which certificate and token, and where it went."""
    token = edge.token()
    listen(caplog)
    before = counted()
    edge.get(token).raise_for_status()
    (line,) = [each for each in lines(caplog) if each["event"].startswith("gateway")]
    assert line.keys() >= MEMBERS | {"token_id", "method", "route", "status"}
    assert (line["event"], line["outcome"]) == ("gateway.passed", "granted")
    assert line["client_id"] == "storefront"
    assert line["peer"] == str(edge.caller.spiffe_id)
    assert line["certificate"] == format(edge.caller.generation.serial, "x")
    assert counted() == before + 2  # the guard behind it runs in this process, too


REFUSALS = [
    *ordered(GatewayError, IntrospectionError),
    *(kind for kind in GUARDED if kind not in below(IntrospectionError)),
]


@pytest.mark.parametrize("kind", REFUSALS)
def test_every_refusal_is_one_line_and_one_count(
    edge: Edge,
    mesh: Mesh,
    kind: type[Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever the reason; and none is answered with a 500."""
    leaf = mesh.issue("storefront")
    error = made(kind)

    async def refuse(*_case: object) -> None:
        raise error

    answered: list[Message] = []

    async def send(message: Message) -> None:
        answered.append(message)

    monkeypatch.setattr(module, "judge", refuse)
    scope = {
        **scope_of(leaf),
        "type": "http",
        "method": "GET",
        "path": "/orders",
        "raw_path": b"/orders",
        "headers": [],
        "query_string": b"",
    }
    before = counted(kind)
    asyncio.run(create_app(edge.gateway)(scope, send, send))  # type: ignore[arg-type]
    line = only_line(caplog)
    assert line.keys() >= OF_A_REFUSAL | {"method", "path"}
    assert (line["event"], line["outcome"]) == ("gateway.refused", "refused")
    assert (line["cause"], line["code"]) == (kind.__name__, kind.code)
    assert line["certificate"] == format(leaf.certificate.serial_number, "x")
    assert line["reason"] == str(error)
    assert counted(kind) == before + 1
    assert answered[0]["status"] != 500


def test_every_error_of_the_gateway_has_its_status() -> None:
    """So that the table of the documentation can be trusted to be whole."""
    kinds = below(GatewayError)
    assert {kind.__module__ for kind in kinds} == {errors.__name__}
    assert all(
        kind.status in {400, 404, 405, 408, 413, 429, 502, 504}
        for kind in kinds
        if issubclass(kind, GatewayError)
    )
    assert TooManyTokensError in kinds
