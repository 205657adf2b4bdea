"""Tests of what passes a gateway: fields, paths, bodies, and what an upstream does."""

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.wire.tls import client_context
from tests.services.gateway.standing import (
    GATEWAY,
    Edge,
    gateway_before,
    upstream_document,
)
from tests.services.gateway.upstreams import PARTS
from tests.services.guarding import bearer
from tests.services.mesh import Mesh, Serve
from tests.services.proxies.fields import client_cert
from tests.services.running import client_of


@pytest.fixture(scope="module")
def token(edge: Edge) -> str:
    """Return a good token."""
    return edge.token()


def fields(answer: httpx.Response) -> list[tuple[str, str]]:
    """Return what the upstream's application was sent."""
    answer.raise_for_status()
    return [(name, value) for name, value in answer.json()["headers"]]


FORGERIES: dict[str, list[tuple[str, str]]] = {
    "plain": [("Client-Cert", "{}")],
    "doubled": [("Client-Cert", "{}"), ("Client-Cert", "{}")],
    "list": [("Client-Cert", "{}, {}")],
    "underscore": [("Client_Cert", "{}")],
    "both spellings": [("Client-Cert", "{}"), ("Client_Cert", "{}")],
    "case": [("CLIENT-CERT", "{}")],
    "chain": [("Client-Cert-Chain", "{}")],
    "chain underscore": [("Client_Cert_Chain", "{}")],
    "envoy": [("X-Forwarded-Client-Cert", "Hash=ab;URI=spiffe://shop.internal/x")],
    "envoy underscore": [("X_Forwarded_Client_Cert", "Hash=ab")],
    "hop by hop": [("Client-Cert", "{}"), ("Connection", "client-cert")],
    "stripped by Connection": [("Connection", "close, Client-Cert, Client-Cert-Chain")],
    "authorization by Connection": [("Connection", "authorization")],
    "hop secret": [("Certbound-Hop-Secret", "a" * 43)],
    "address": [
        ("X-Forwarded-For", "::1"),
        ("Forwarded", "for=_x"),
        ("X-Real-IP", "1"),
    ],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_nobody_says_who_calls_but_the_gateway(
    edge: Edge, mesh: Mesh, token: str, forgery: str
) -> None:
    """Whatever comes from outside, the upstream sees the certificate at the edge."""
    other = client_cert(mesh.issue("stock").certificate).decode()
    with edge.client() as client:
        forged = [
            (name, value.replace("{}", other)) for name, value in FORGERIES[forgery]
        ]
        headers = [*bearer(token).items(), *forged]
        answer = client.get("/orders", headers=headers)
    names = [name for name, _ in fields(answer)]
    assert answer.json()["thumbprint"] == edge.caller.generation.thumbprint
    assert answer.json()["peer"] == GATEWAY
    assert other not in answer.text
    assert not {name for name in names if "_" in name or "forwarded" in name}
    assert names.count("authorization") == 1


@pytest.mark.parametrize(
    "name", ["Client-Cert", "Client_Cert", "X-Forwarded-Client-Cert"]
)
def test_an_upstream_believes_no_other_peer(edge: Edge, mesh: Mesh, name: str) -> None:
    """A service with a token of its own cannot name a caller at the upstream."""
    token = edge.tokens.token(edge.caller, client_id="storefront-direct")
    forged = client_cert(mesh.issue("stock").certificate).decode()
    with edge.upstream.client(edge.caller) as client:
        answer = client.get("/orders", headers={**bearer(token), name: forged})
    assert answer.json()["original"] is None
    assert answer.json()["peer"] == str(edge.caller.spiffe_id)


def test_an_upstream_wants_the_gateway_to_say_who_calls(edge: Edge) -> None:
    """The gateway's own connection without a statement is a mistake, and refused."""
    with edge.upstream.client(edge.instance) as client:
        assert client.get("/orders").status_code == 400


def test_the_callers_other_fields_pass(edge: Edge, token: str) -> None:
    """What concerns neither connection nor identity is the application's."""
    sent = {"X-Request-Id": "7", "Cookie": "a=b", "Accept-Language": "de"}
    seen = fields(edge.get(token, headers=sent))
    for name, value in sent.items():
        assert (name.lower(), value) in seen


def test_the_connections_own_fields_end_here(edge: Edge, token: str) -> None:
    """Inwards and outwards, named in Connection or by the RFC."""
    sent = {"Connection": "x-a", "X-A": "1", "Keep-Alive": "5", "TE": "trailers"}
    wanted = "?answer=x-b:1;connection:x-b;keep-alive:timeout=5;dpop-nonce:n;x-c:3"
    answer = edge.get(token, f"/orders{wanted}", headers=sent)
    assert not {"x-a", "keep-alive", "te", "connection"} & dict(fields(answer)).keys()
    assert not {"x-b", "keep-alive", "dpop-nonce"} & answer.headers.keys()
    assert answer.headers["x-c"] == "3"
    assert len(answer.headers.get_list("date")) == 1


def test_no_caller_gets_anothers_cookie(edge: Edge, token: str) -> None:
    """What an upstream sets for one caller goes to that one and is not kept."""
    first = edge.get(token, "/orders?answer=set-cookie:a=secret")
    assert first.headers["set-cookie"] == "a=secret"
    assert "cookie" not in dict(fields(edge.get(edge.token())))


@pytest.mark.parametrize(
    "target", ["/orders/a%20b?c=%2e%2e&d", "/orders/%7Ea|", "/orders//x/", "/orders?"]
)
def test_the_target_goes_on_as_it_was_sent(edge: Edge, token: str, target: str) -> None:
    """Not a letter of path and query is written anew, unless it is no path."""
    with edge.client() as client:
        request = client.build_request("GET", "/orders", headers=bearer(token))
        request.extensions["target"] = target.encode()
        answer = client.send(request)
    if "|" in target:
        assert answer.status_code == 400
        return
    seen = answer.json()
    path, _, query = target.partition("?")
    assert (seen["target"], seen["query"]) == (path, query)


@pytest.mark.parametrize(
    ("target", "status"),
    [("/orders/%2e%2e/x", 400), ("/orders/../x", 400), ("/stock", 404), ("/", 404)],
)
def test_a_path_outside_of_every_route_goes_nowhere(
    edge: Edge, token: str, target: str, status: int
) -> None:
    """The upstream is not asked."""
    asked = len(edge.upstream.seen)
    with edge.client() as client:
        request = client.build_request("GET", "/orders", headers=bearer(token))
        request.extensions["target"] = target.encode()
        assert client.send(request).status_code == status
    assert len(edge.upstream.seen) == asked


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW"])
def test_other_methods_are_not_passed_on(edge: Edge, token: str, method: str) -> None:
    """TRACE would show the caller the gateway's own token."""
    with edge.client() as client:
        request = client.build_request(method, "/orders", headers=bearer(token))
        request.extensions["target"] = b"/orders"
        answer = client.send(request)
    assert answer.status_code in {400, 405}
    assert edge.upstream.seen[-1].method != method


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_body_passes(edge: Edge, token: str, method: str) -> None:
    """With a length or in chunks, it arrives whole."""
    parts = [b"x" * 50_000] * 20

    with edge.client() as client:
        for content in (b"".join(parts), iter(parts)):
            answer = client.request(
                method, "/orders", headers=bearer(token), content=content
            )
            assert answer.json()["size"] == 1_000_000
            assert answer.json()["method"] == method


def test_a_long_answer_passes(edge: Edge, token: str) -> None:
    """It is not held in memory, and arrives whole."""
    assert len(edge.get(token, "/orders/long").content) == PARTS * 16_384


@pytest.mark.parametrize(
    ("said", "seen"),
    [
        ("/orders/x", "/orders/x"),
        ("https://localhost:{port}/orders/x", "/orders/x"),
        ("https://example.com/x", "https://example.com/x"),
    ],
)
def test_a_redirect_is_the_callers_to_follow(
    edge: Edge, token: str, said: str, seen: str
) -> None:
    """The gateway follows none, and does not tell where the upstream stands."""
    said = said.replace("{port}", str(edge.upstream.running.port))
    answer = edge.get(token, f"/orders/away?to={said}")
    assert (answer.status_code, answer.headers["location"]) == (302, seen)


def test_an_upstream_that_refuses_the_gateway_is_no_401(edge: Edge, token: str) -> None:
    """The caller's token was good: a new one would not help."""
    answer = edge.get(token, "/orders/refusing")
    assert (answer.status_code, answer.json()["error"]) == (502, "upstream_refused")
    assert "for the gateway" not in answer.text


class Other:
    """Gateways of another configuration, with the token service and upstream of one."""

    def __init__(self, edge: Edge, serve: Serve, home: Path) -> None:
        self.edge, self._serve, self._home = edge, serve, home

    def ask(self, path: str = "/orders", *, method: str = "GET", **options: Any) -> Any:
        """Ask a gateway with the `changes`, once."""
        route = {"url": f"{self.edge.upstream.url}/orders", **options.pop("route", {})}
        changes = options.pop("changes", {})
        routes = {"/orders": upstream_document(**route)}
        with (
            gateway_before(
                self.edge.tokens,
                self._serve,
                self._home,
                self.edge.instance,
                routes=routes,
                **changes,
            ) as (running, _, _),
            client_of(
                self.edge.caller, self.edge.instance, base_url=running.url
            ) as client,
        ):
            token = options.pop("token", None) or self.edge.token()
            return client.request(method, path, headers=bearer(token), **options)


@pytest.fixture
def other(edge: Edge, serve: Serve, tmp_path: Path) -> Other:
    """Return a way to ask other gateways."""
    return Other(edge, serve, tmp_path)


def told(answer: Any) -> tuple[int, str]:
    """Return status and code, of an answer that says nothing of the upstream."""
    for word in ("ssl", "SSL", "certificate", "localhost", "spiffe", "refused", "rrno"):
        assert word not in answer.json()["error_description"]
    assert answer.headers["cache-control"] == "no-store"
    return answer.status_code, answer.json()["error"]


def test_an_upstream_that_is_down_is_a_502(other: Other) -> None:
    """The caller learns that it was the upstream, and no more."""
    answer = other.ask(route={"url": "https://localhost:1/orders"})
    assert told(answer) == (502, "upstream_unavailable")


def test_an_upstream_that_is_somebody_else_is_a_502(other: Other) -> None:
    """A server with another SPIFFE ID gets neither request nor token."""
    asked = len(other.edge.upstream.seen)
    answer = other.ask(route={"spiffe_id": "spiffe://shop.internal/service/stock"})
    assert told(answer) == (502, "upstream_unavailable")
    assert len(other.edge.upstream.seen) == asked


def test_an_upstream_that_is_slow_is_a_504(other: Other) -> None:
    """There is an end to patience."""
    answer = other.ask("/orders/slow", changes={"patience": 0.5})
    assert told(answer) == (504, "upstream_timeout")


def test_a_body_beyond_its_bound_is_a_413(other: Other) -> None:
    """Whether its length is said before or not."""
    changes = {"longest_request": 100_000}
    for content in (b"x" * 100_001, iter([b"x" * 60_000] * 2)):
        answer = other.ask(method="POST", changes=changes, content=content)
        assert told(answer) == (413, "request_too_large")
    whole = other.ask(method="POST", changes=changes, content=b"x" * 100_000)
    assert whole.json()["size"] == 100_000


def test_a_body_that_does_not_come_is_a_408(edge: Edge, serve: Serve) -> None:
    """It is the caller that is waited for, so it is no fault of the upstream's."""
    head = (
        "POST /orders HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {edge.token()}",
        "Content-Length: 2",
        "",
        "x",
    )
    home = edge.document.parent / "slow"
    home.mkdir()
    routes = {"/orders": upstream_document(url=f"{edge.upstream.url}/orders")}
    context = client_context(edge.caller.generation, edge.instance.spiffe_id)
    with (
        gateway_before(
            edge.tokens, serve, home, edge.instance, routes=routes, patience=0.5
        ) as (running, _, _),
        socket.create_connection(("127.0.0.1", running.port), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall("\r\n".join(head).encode())
        answer = b""
        while part := secure.recv(65_536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in answer


def test_an_answer_beyond_its_bound_breaks_off(other: Other) -> None:
    """One whose length is not said ends without its end: nobody takes it for whole."""
    with pytest.raises(httpx.RemoteProtocolError):
        other.ask("/orders/long", changes={"longest_answer": 100_000})
    answer = other.ask(changes={"longest_answer": 10})
    assert told(answer) == (502, "upstream_invalid")


def test_a_gateway_that_may_not_call_is_a_502(other: Other) -> None:
    """The topology has no such edge, which is no fault of the caller's."""
    answer = other.ask(route={"audience": "https://stock.shop.internal"})
    assert told(answer) == (502, "exchange_refused")


def test_scopes_beyond_the_delegation_are_not_passed_on(other: Other) -> None:
    """What the caller has not brought, or may not have there, is not asked for."""
    both = other.edge.token(scope="orders.read orders.write")
    route = {"optional_scopes": ["orders.write"]}
    assert other.ask(route=route).json()["scopes"] == ["orders.read"]
    seen = other.ask(route=route, token=both).json()
    assert seen["scopes"] == ["orders.read", "orders.write"]
    assert other.ask(token=both).json()["scopes"] == ["orders.read"]
