"""Tests of `services.description`: true in every word, and complete."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator
from starlette.routing import Route

from services.description import description
from services.guard.errors import RequestRefusedError
from services.openapi import DOCUMENT, below
from services.operations.app import Operations
from services.operations.vitals import IdentityVitals
from services.proof.dpop_client import DpopKey
from services.proof.dpop_errors import InvalidProofError
from services.proof.errors import InvalidTokenError
from services.token.app import create_app
from services.token.errors import TokenRequestError
from services.token.form import LONGEST_BODY
from services.token.introspection import SIGNED
from tests.services.described import Described, check
from tests.services.documents import ISSUER, token_service_config
from tests.services.guarding import Service, guarded
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import Tokens, request, token_service

POSTS = ("/token", "/introspect", "/revoke")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
STOCK = "https://stock.shop.internal"
WELL_KNOWN = "/.well-known/oauth-protected-resource"


def operated(
    instance: Instance, config: Any, *, registry: Any, clock: Callable[[], datetime]
) -> Any:
    """Return the token service as `services.process` puts it together."""
    app = create_app(config, registry=registry, clock=clock)
    identity = instance.live()
    return Operations(
        app,
        identity=identity,
        vitals=IdentityVitals(identity, clock, app.state.vitals),
        documents={DOCUMENT: lambda: description(config.current())},
        clock=clock,
    )


class Judge:
    """Token services in every state, and one description for all of them."""

    def __init__(self, mesh: Mesh, serve: Serve, directory: Path) -> None:
        self.mesh = mesh
        self.serve = serve
        self.directory = directory
        self.storefront = mesh.instance("storefront")
        self.orders = mesh.instance("orders")
        self.described = Described(description(token_service_config(directory)))

    @contextmanager
    def service(self, name: str, **changes: Any) -> Iterator[Tokens]:
        """Run a token service in a directory of its own."""
        directory = self.directory / name
        directory.mkdir()
        instance = self.mesh.instance("token-service")
        with token_service(
            self.mesh,
            self.serve,
            directory,
            instance=instance,
            app=partial(operated, instance),
            **changes,
        ) as tokens:
            yield tokens

    def post(self, client: httpx.Client, path: str, **options: Any) -> httpx.Response:
        """Send a request whose answer must be described."""
        return self.described.check(client.post(path, **options))

    def get(self, client: httpx.Client, path: str, **options: Any) -> httpx.Response:
        """Ask for something; the answer must be described."""
        return self.described.check(client.get(path, **options))


@pytest.fixture
def judge(mesh: Mesh, serve: Serve, tmp_path: Path) -> Judge:
    """Return the judge."""
    return Judge(mesh, serve, tmp_path)


def test_every_described_answer_is_given_and_no_other(judge: Judge) -> None:
    """Each status and code of each operation was seen, in the form it is said to have.

    An answer that is not described fails where it is given.
    """
    with judge.service("well") as tokens:
        _good_answers(judge, tokens)
        _refusals(judge, tokens)
        _proofs(judge, tokens)
    slow = {"per_second": 0.01, "burst": 1}
    rates = dict.fromkeys(("token", "introspection", "revocation"), slow)
    with (
        judge.service("slow", rates=rates) as tokens,
        tokens.client(judge.storefront) as client,
    ):
        for path in POSTS:
            for _ in range(2):
                judge.post(client, path, data=request(token="x"))
    with judge.service("away") as tokens, tokens.client(judge.storefront) as client:
        (tokens.document.parent / "state" / "shared.sqlite").mkdir()
        for path in POSTS:
            judge.post(client, path, data=request(), headers={"DPoP": "x"})
        judge.get(client, "/revocations")
        judge.get(client, "/readyz")
    assert set(judge.described.expected()) - judge.described.seen == set()


def _good_answers(judge: Judge, tokens: Tokens) -> None:
    token = tokens.token(judge.storefront)
    about = {"client_id": "orders", "token": token}
    exchange = {
        "grant_type": EXCHANGE,
        "client_id": "orders",
        "subject_token": token,
        "subject_token_type": ACCESS_TOKEN,
        "resource": STOCK,
    }
    with tokens.client(judge.orders) as client:
        judge.post(client, "/token", data=exchange)
        jwt = {"requested_token_type": ACCESS_TOKEN.replace("access_token", "jwt")}
        judge.post(client, "/token", data=exchange | jwt)
        judge.post(client, "/introspect", data=about)
        judge.post(client, "/introspect", data=about, headers={"Accept": SIGNED})
        judge.post(client, "/introspect", data={**about, "token": "x"})
    with tokens.client(judge.storefront) as client:
        judge.post(client, "/token", data=request())
        judge.post(client, "/token", data=request(client_id="bearer"))
        judge.post(client, "/revoke", data=request(token=token))
        tag = judge.get(client, "/revocations").headers["etag"]
        judge.get(client, "/revocations", headers={"If-None-Match": tag})
        for path in ("/jwks", "/jwks/own", "/.well-known/oauth-authorization-server"):
            judge.get(client, path)
        for path in ("/healthz", "/readyz", "/metrics", DOCUMENT):
            judge.get(client, path)
    with tokens.client(tokens.instance) as client:
        judge.get(client, "/metrics")


def _refusals(judge: Judge, tokens: Tokens) -> None:
    token = tokens.token(judge.storefront)
    with tokens.client(judge.storefront) as client:
        for change in (
            {"grant_type": "password"},
            {"resource": "x"},
            {"scope": "x"},
            {"grant_type": EXCHANGE, "subject_token": "x"},
        ):
            judge.post(client, "/token", data=request(**change))
        judge.post(client, "/introspect", data=request(token=token))
        judge.post(client, "/revoke", data=request(client_id="bearer", token=token))
        for path in POSTS:
            judge.post(client, path, data=request(client_id="nobody"))
            judge.post(client, path, json={})
    for path in POSTS:
        with tokens.client(judge.storefront) as client:
            judge.post(client, path, content=b"x" * (LONGEST_BODY + 1), headers=_FORM)


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _proofs(judge: Judge, tokens: Tokens) -> None:
    key = DpopKey()
    with tokens.client(judge.storefront) as client:
        for path in POSTS:
            judge.post(client, path, data=request(), headers={"DPoP": "x"})
            proof = key.proof("POST", f"{ISSUER}{path}", now=tokens.clock())
            judge.post(client, path, data=request(), headers={"DPoP": proof})


def test_what_nobody_foresaw_is_described(judge: Judge) -> None:
    """A failure is one of the answers."""

    def broken(config: Any, *, registry: Any, clock: Callable[[], Any]) -> Any:
        times = iter([clock()])
        return create_app(
            config, registry=registry, clock=lambda: next(times, None) or _fail()
        )

    directory = judge.directory / "broken"
    directory.mkdir()
    with token_service(judge.mesh, judge.serve, directory, app=broken) as tokens:
        for path in POSTS:
            with tokens.client(judge.storefront) as client:
                answer = judge.post(client, path, data=request())
            assert answer.status_code == 500
        with tokens.client(judge.storefront) as client:
            assert judge.get(client, "/jwks").status_code == 500


def _fail() -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize("issuer", [ISSUER, f"{ISSUER}/tokens"])
def test_every_route_is_described(
    tmp_path: Path, mesh: Mesh, serve: Serve, issuer: str
) -> None:
    """Paths and methods are those of the application, wherever the issuer puts them."""
    routes: dict[str, set[str]] = {}

    def looking(config: Any, **options: Any) -> Any:
        app = create_app(config, **options)
        for route in app.routes:
            assert isinstance(route, Route)
            assert route.methods is not None
            routes[route.path] = {method.lower() for method in route.methods} - {"head"}
        return app

    with token_service(mesh, serve, tmp_path, app=looking, issuer=issuer) as tokens:
        document = description(token_service_config(tmp_path, issuer=issuer))
        assert tokens.url
    described = {path: set(each) for path, each in document["paths"].items()}
    layer = {path: {"get"} for path in ("/healthz", "/readyz", "/metrics", DOCUMENT)}
    assert described == {**routes, **layer}


def test_every_refusal_is_described(tmp_path: Path) -> None:
    """No class of errors is without an operation that may answer it."""
    paths = description(token_service_config(tmp_path))["paths"]
    described = {
        (status, code)
        for path in POSTS
        for status, response in paths[path]["post"]["responses"].items()
        for code in _codes(response)
    }
    kinds = below(TokenRequestError) - {TokenRequestError}
    assert {(str(kind.status), kind.code) for kind in kinds} <= described  # type: ignore[attr-defined]


def test_every_refusal_of_the_guard_is_described(tmp_path: Path) -> None:
    """Whatever class refuses, status and code stand among the components."""
    responses = description(token_service_config(tmp_path))["components"]["responses"]
    described = {
        (name, code) for name, each in responses.items() for code in _codes(each)
    }
    raised = below(RequestRefusedError) - {RequestRefusedError}
    kinds = {
        (f"Guard{kind.status}", kind.code or "unauthorized")  # type: ignore[attr-defined]
        for kind in raised
    } | {
        ("Guard401", kind.code)
        for kind in below(InvalidTokenError) | below(InvalidProofError)
    }
    assert described == kinds | {("Guard503", "temporarily_unavailable")}


def _codes(response: Mapping[str, Any]) -> list[str]:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return list(schema.get("properties", {}).get("error", {}).get("enum", []))


@pytest.fixture
def guard(mesh: Mesh, serve: Serve, tmp_path: Path) -> Iterator[tuple[Tokens, Service]]:
    """Return a token service and a guarded service."""
    (tmp_path / "tokens").mkdir()
    with (
        token_service(mesh, serve, tmp_path / "tokens") as tokens,
        guarded(tokens, serve, mesh.instance("orders"), tmp_path) as service,
    ):
        yield tokens, service


def test_the_guards_answers_are_as_described(
    guard: tuple[Tokens, Service], mesh: Mesh, tmp_path: Path
) -> None:
    """For each status there is one that was really given."""
    tokens, service = guard
    storefront, stock = mesh.instance("storefront"), mesh.instance("stock")
    components = description(token_service_config(tmp_path))["components"]
    described = {
        name.removeprefix("Guard"): each
        for name, each in components["responses"].items()
    }
    token = tokens.token(storefront, scope="orders.read")
    bearer = {"Authorization": f"Bearer {token}"}
    with service.client(storefront) as client, service.client(stock) as thief:
        answers = [
            client.get("/orders"),
            client.get("/orders?access_token=x"),
            client.post("/orders", headers=bearer),
            thief.get("/orders", headers=bearer),
        ]
        metadata = client.get(WELL_KNOWN).json()
    assert [answer.status_code for answer in answers] == [401, 400, 403, 401]
    for answer in answers:
        assert check(answer, described)
    Draft202012Validator(components["schemas"]["ResourceMetadata"]).validate(metadata)


def test_the_document_is_of_openapi(tmp_path: Path) -> None:
    """Every schema in it is one of JSON Schema 2020-12, as version 3.1 has it."""
    document = description(token_service_config(tmp_path))
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": ISSUER}]
    for schema in _schemas(document):
        Draft202012Validator.check_schema(schema)


def _schemas(part: Any) -> Iterator[Any]:
    if isinstance(part, dict):
        if isinstance(part.get("schema"), dict):
            yield part["schema"]
        for each in part.values():
            yield from _schemas(each)
    elif isinstance(part, list):
        for each in part:
            yield from _schemas(each)
