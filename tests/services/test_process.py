"""Tests of `services.process`: how an application and its workload end."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from services.process import closing


class Workload:
    """Says when it is closed."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def aclose(self) -> None:
        """Close."""
        self.said.append("closed")


def live(app: Any, own: Workload, *messages: str) -> list[str]:
    """Return what an application and its workload do in a life."""
    incoming = [{"type": message} for message in messages]

    async def receive() -> dict[str, str]:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        own.said.append(message["type"])

    asyncio.run(closing(app, own)({"type": "lifespan"}, receive, send))  # type: ignore[arg-type]  # as much of one as it needs
    return own.said


def test_the_workload_is_closed_when_the_application_has_stopped() -> None:
    """Not before: its last words may need a connection."""
    said = live(Starlette(), Workload(), "lifespan.startup", "lifespan.shutdown")
    assert said == [
        "lifespan.startup.complete",
        "closed",
        "lifespan.shutdown.complete",
    ]


def test_requests_are_passed_on_untouched() -> None:
    """Whatever a request sends, the workload stays open."""
    own, sent = Workload(), list[Any]()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(closing(app, own)({"type": "http"}, None, send))  # type: ignore[arg-type]  # as much of each as it needs
    assert sent == ["lifespan.shutdown.complete"]
    assert own.said == []


def test_an_application_that_fails_is_heard() -> None:
    """Its error is not hidden behind the closing."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("cannot start")

    with pytest.raises(RuntimeError, match="cannot start"):
        live(app, Workload(), "lifespan.startup")
