"""Tests of `services.operations.app`: health, readiness and metrics over mutual TLS."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from services import metrics
from services.operations.app import Operations
from services.operations.vitals import Part
from tests.services.logged import only_line
from tests.services.mesh import Instance, Mesh, Serve, now
from tests.services.running import Clock, client_of

PATHS = ["/healthz", "/readyz", "/metrics"]


class Parts:
    """Parts as a test wants them."""

    def __init__(self) -> None:
        self.looks = 0
        self.found = [Part("store", up=True), Part("key_set", up=True)]

    async def parts(self) -> Sequence[Part]:
        """Return them."""
        self.looks += 1
        return self.found


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer everything that gets here."""
    if scope["type"] == "http":
        await PlainTextResponse("the application")(scope, receive, send)


class Process:
    """A running process with its layer of operations."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.vitals = Parts()
        self.clock = Clock()
        self.monitors: set[str] = set()
        self.app = Operations(
            application,
            identity=instance.live(),
            vitals=self.vitals,
            monitors=lambda: self.monitors,
            documents={"/openapi.json": lambda: {"openapi": "3.1.0"}},
            clock=self.clock,
        )
        self.url = ""

    def ask(self, path: str, by: Instance, method: str = "GET") -> httpx.Response:
        """Send one request."""
        with client_of(by, self.instance, base_url=self.url) as client:
            return client.request(method, path)


@pytest.fixture
def process(mesh: Mesh, serve: Serve) -> Iterator[Process]:
    """Return a process all of whose parts are well."""
    made = Process(mesh.instance("orders"))
    with serve(made.app, made.instance) as running:
        made.url = running.url
        yield made


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return another service of the mesh."""
    return mesh.instance("storefront")


def test_whoever_tls_admits_learns_that_the_process_is_alive(
    process: Process, storefront: Instance
) -> None:
    """That is all there is to it: no part is looked at."""
    answer = process.ask("/healthz", storefront)
    assert (answer.status_code, answer.json()) == (200, {"status": "alive"})
    assert process.vitals.looks == 0


def test_a_process_is_ready_when_every_part_is_well(
    process: Process, storefront: Instance
) -> None:
    """Nothing but that is told."""
    answer = process.ask("/readyz", storefront)
    assert (answer.status_code, answer.json()) == (200, {"status": "ready"})


def test_a_process_is_not_ready_when_one_part_fails(
    process: Process, storefront: Instance
) -> None:
    """A load balancer is told by the status, a human by the name."""
    process.vitals.found[0] = Part("store", up=False)
    answer = process.ask("/readyz", storefront)
    assert answer.status_code == 503
    assert answer.json() == {"status": "not ready", "failing": ["store"]}


def test_a_process_that_is_not_ready_is_alive(
    process: Process, storefront: Instance
) -> None:
    """To restart it would not bring the store back."""
    process.vitals.found[0] = Part("store", up=False)
    assert process.ask("/healthz", storefront).status_code == 200


def test_a_look_serves_for_a_second(process: Process, storefront: Instance) -> None:
    """Nobody can make the process ask its store at his own pace."""
    process.ask("/readyz", storefront)
    process.ask("/readyz", storefront)
    assert process.vitals.looks == 1
    process.clock.move(seconds=1)
    process.ask("/readyz", storefront)
    assert process.vitals.looks == 2
    process.clock.move(seconds=-10)
    process.ask("/readyz", storefront)
    assert process.vitals.looks == 3


def test_the_process_own_identity_may_read_its_metrics(process: Process) -> None:
    """Whoever holds its key may read all there is anyway."""
    answer = process.ask("/metrics", process.instance)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'certbound_up{part="store"} 1.0' in answer.text


def test_a_monitor_may_read_the_metrics(process: Process, storefront: Instance) -> None:
    """Its SPIFFE ID stands in the configuration, and may be added at any time."""
    assert process.ask("/metrics", storefront).status_code == 403
    process.monitors.add(str(storefront.spiffe_id))
    assert process.ask("/metrics", storefront).status_code == 200


def test_nobody_else_may_read_the_metrics(
    process: Process, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """Who calls whom how often is not for every service; the log tells who asked."""
    answer = process.ask("/metrics", storefront)
    assert (answer.status_code, answer.json()) == (403, {"error": "access_denied"})
    line = only_line(caplog)
    assert line["event"] == "metrics.refused"
    assert (line["outcome"], line["cause"]) == ("refused", "NoMonitorError")
    assert line["peer"] == str(storefront.spiffe_id)
    assert line["certificate"] == format(storefront.generation.serial, "x")


def test_an_expired_certificate_reads_no_metrics(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    """A connection may be older than its certificate."""
    process.clock.moment = now() + timedelta(days=1)
    assert process.ask("/metrics", process.instance).status_code == 403
    assert "expired" in only_line(caplog)["reason"]


def test_the_metrics_show_what_is_down(process: Process) -> None:
    """And how old the rest is."""
    process.vitals.found = [
        Part("store", up=False),
        Part("key_set", up=True, age=timedelta(seconds=90)),
    ]
    text = process.ask("/metrics", process.instance).text
    assert 'certbound_up{part="store"} 0.0' in text
    assert 'certbound_age_seconds{part="key_set"} 90.0' in text


@pytest.mark.parametrize("path", PATHS)
def test_no_answer_is_stored(process: Process, path: str) -> None:
    """What is true now may be false in a second."""
    answer = process.ask(path, process.instance)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", PATHS)
def test_a_head_has_no_body(process: Process, path: str) -> None:
    """HEAD is what some load balancers ask with."""
    answer = process.ask(path, process.instance, "HEAD")
    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("path", [*PATHS, "/openapi.json"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_there_is_nothing_to_change(process: Process, path: str, method: str) -> None:
    """Other methods are not allowed."""
    answer = process.ask(path, process.instance, method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_a_document_is_for_whoever_tls_admits(
    process: Process, storefront: Instance
) -> None:
    """It is JSON as it stands."""
    assert process.ask("/openapi.json", storefront).json() == {"openapi": "3.1.0"}


@pytest.mark.parametrize("path", ["/", "/orders", "/metrics/", "/healthz/x"])
def test_everything_else_is_the_applications(
    process: Process, storefront: Instance, path: str
) -> None:
    """The four paths are taken, and no others."""
    assert process.ask(path, storefront).text == "the application"


def test_without_tls_no_metrics_are_shown(mesh: Mesh) -> None:
    """Served in some other way, nobody is a monitor."""
    process = Process(mesh.instance("orders"))
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a question without a body")

    async def ask() -> None:
        scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
        await process.app(scope, receive, send)

    asyncio.run(ask())
    assert sent[0]["status"] == 403


def test_labels_are_words_of_ours(process: Process, storefront: Instance) -> None:
    """What a caller sends is never a label."""
    process.ask("/some-path", storefront, "PATCH")
    assert b"some-path" not in metrics.exposition()
    assert b"PATCH" not in metrics.exposition()
