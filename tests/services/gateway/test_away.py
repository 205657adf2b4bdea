"""Tests of a gateway whose token service is away, or does not answer as it should."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.token.app import create_app
from tests.services.gateway.standing import Edge, clients, standing
from tests.services.gateway.upstreams import mirror
from tests.services.mesh import Mesh, Serve
from tests.services.running import token_service
from tests.services.tokens import Signer, claims

ANSWER = "application/token-introspection+jwt"


class Switch:
    """Stands before a token service, and answers some paths in its place."""

    def __init__(self) -> None:
        self.instead: dict[str, Callable[[], Response]] = {}

    def __call__(self, *given: Any, **options: Any) -> ASGIApp:
        """Make the application."""
        app = create_app(*given, **options)

        async def switched(scope: Scope, receive: Receive, send: Send) -> None:
            instead = self.instead.get(scope.get("path", ""))
            await (instead() if instead else app)(scope, receive, send)

        return switched


@pytest.fixture(scope="module")
def switch() -> Switch:
    """Return what can take the token service away."""
    return Switch()


@pytest.fixture(scope="module")
def edge(
    mesh: Mesh,
    serve: Serve,
    switch: Switch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Edge]:
    """Return a gateway before a token service with a switch."""
    home = tmp_path_factory.mktemp("edge")
    (home / "own").mkdir()
    with (
        token_service(
            mesh, serve, home / "own", app=switch, clients=clients()
        ) as tokens,
        standing(mesh, serve, home, app=mirror, tokens=tokens) as running,
    ):
        yield running


@pytest.fixture(autouse=True)
def heals(switch: Switch) -> Iterator[None]:
    """Put the token service back after each test."""
    yield
    switch.instead.clear()


def told(edge: Edge, token: str) -> int:
    """Return the status of an answer, which is whole if it is a 503."""
    answer = edge.get(token)
    if answer.status_code == 503:
        assert answer.json()["error"] == "temporarily_unavailable"
        assert answer.headers["retry-after"]
    return answer.status_code


@pytest.mark.parametrize("path", ["/introspect", "/token"])
def test_an_outage_is_a_503_and_heals(edge: Edge, switch: Switch, path: str) -> None:
    """Unknown is no, for as long as it is unknown."""
    token = edge.token()
    switch.instead[path] = lambda: Response(status_code=503)
    assert told(edge, token) == 503
    switch.instead.clear()
    assert told(edge, token) == 200


def test_what_is_known_serves_for_its_bound(edge: Edge, switch: Switch) -> None:
    """A short outage is not noticed by who was there before; a longer one is."""
    token = edge.token()
    assert told(edge, token) == 200
    switch.instead["/introspect"] = lambda: Response(status_code=500)
    edge.tokens.clock.move(seconds=4.9)
    assert told(edge, token) == 200
    edge.tokens.clock.move(seconds=0.1)
    assert told(edge, token) == 503
    switch.instead.clear()
    assert told(edge, token) == 200


def test_a_verdict_of_another_serves_nobody_in_an_outage(
    edge: Edge, switch: Switch, mesh: Mesh
) -> None:
    """A thief is not judged by what is known of the one he stole from."""
    token = edge.token()
    assert told(edge, token) == 200
    switch.instead["/introspect"] = lambda: Response(status_code=500)
    assert edge.get(token, caller=mesh.instance("stock")).status_code == 503
    assert told(edge, token) == 200


def active() -> dict[str, Any]:
    """Return what an active token is said to be."""
    return {"active": True, **claims(aud="https://gateway.shop.internal")}


def signed(media_type: str = ANSWER) -> Response:
    """Return an answer that somebody else has signed."""
    signer = Signer()
    payload = {"token_introspection": active()}
    text = signer.sign(signer.header(typ="token-introspection+jwt"), payload)
    return Response(text, media_type=media_type)


LIES: dict[str, Callable[[], Response]] = {
    "plain JSON": lambda: JSONResponse(active()),
    "JSON called a JWT": lambda: Response('{"active":true}', media_type=ANSWER),
    "another key": signed,
    "another type": lambda: signed("application/jwt"),
    "nothing": lambda: Response(media_type=ANSWER),
    "a redirect": lambda: Response(
        status_code=307, headers={"location": "https://localhost:1/"}
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_only_a_signed_answer_is_believed(edge: Edge, switch: Switch, lie: str) -> None:
    """Whatever else answers in the token service's place lets nobody in."""
    token = edge.token()
    switch.instead["/introspect"] = LIES[lie]
    assert told(edge, token) == 503


def test_an_answer_for_another_resource_is_not_believed(
    edge: Edge, switch: Switch, caplog: pytest.LogCaptureFixture
) -> None:
    """What the token service really signed for orders says nothing to the gateway."""
    orders = edge.tokens.token(edge.caller, client_id="storefront-direct")
    with edge.tokens.client(edge.upstream.instance) as client:
        answer = client.post(
            "/introspect",
            data={"client_id": "orders", "token": orders},
            headers={"Accept": ANSWER},
        )
    assert answer.headers["content-type"] == ANSWER
    switch.instead["/introspect"] = lambda: Response(answer.text, media_type=ANSWER)
    assert told(edge, edge.token()) == 503
    fields = [getattr(record, "certbound_fields", {}) for record in caplog.records]
    assert "AnswerAudienceError" in [each.get("cause") for each in fields]


def test_an_answer_must_be_called_one(edge: Edge, switch: Switch) -> None:
    """The very answer that is believed is not, under another media type."""
    token = edge.token()
    with edge.tokens.client(edge.instance) as client:
        form = {"client_id": "gateway", "token": token}
        answer = client.post("/introspect", data=form, headers={"Accept": ANSWER})
    for media_type, status in (
        ("application/jwt", 503),
        ("application/json", 503),
        (f"{ANSWER}; charset=utf-8", 200),
    ):
        switch.instead["/introspect"] = partial(
            Response, answer.text, headers={"content-type": media_type}
        )
        assert told(edge, token) == status


def test_an_access_token_is_no_answer(edge: Edge, switch: Switch) -> None:
    """The same key signed it, for another purpose (RFC 9701, section 8.1)."""
    token = edge.token("storefront-jwt")
    switch.instead["/introspect"] = lambda: Response(token, media_type=ANSWER)
    assert told(edge, edge.token()) == 503


def test_a_token_revoked_between_judgement_and_exchange_is_refused(
    edge: Edge, switch: Switch
) -> None:
    """The token service has the last word, also within the bound."""
    token = edge.token()
    switch.instead["/token"] = lambda: Response(status_code=503)
    assert told(edge, token) == 503  # judged, and not exchanged
    switch.instead.clear()
    edge.revoke(token)
    assert told(edge, token) == 401
