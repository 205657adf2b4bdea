"""Tests of `services.token.app`: the endpoints, over real mutual TLS."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.proof.access_token import verify_access_token
from services.proof.jws import parse
from services.token.form import LONGEST_BODY
from tests.services.documents import ISSUER, ORDERS_AUDIENCE
from tests.services.logged import listen, only_line
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import STOCK_AUDIENCE, Tokens, request, token_service

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GOOD_BODY = str(httpx.QueryParams(request()))


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh, serve: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tokens]:
    """Return a token service that runs for all tests here."""
    with token_service(mesh, serve, tmp_path_factory.mktemp("tokens")) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the instance that is registered as a client."""
    return mesh.instance("storefront")


@pytest.fixture(scope="module")
def client(tokens: Tokens, storefront: Instance) -> Iterator[httpx.Client]:
    """Return the storefront's connection to the token service."""
    with tokens.client(storefront) as connected:
        yield connected


def test_a_token_is_issued(client: httpx.Client) -> None:
    """The answer has the members of RFC 6749, section 5.1, and no refresh token."""
    answer = client.post("/token", data=request())
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    members = answer.json()
    assert members.pop("access_token")
    assert members == {
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "orders.read",
    }


def test_the_token_is_what_its_receiver_will_verify(
    tokens: Tokens, storefront: Instance
) -> None:
    """Type, claims and binding are those that a resource service demands."""
    unverified = parse(tokens.token(storefront))
    key = tokens.keys(storefront)[unverified.key_id]
    token = verify_access_token(
        unverified, key, issuer=ISSUER, audience=ORDERS_AUDIENCE, now=tokens.clock()
    )
    assert token.client_id == token.subject == "storefront"
    assert token.confirmation == {"x5t#S256": storefront.generation.thumbprint}
    assert token.expires_at - token.issued_at == timedelta(seconds=300)


def test_a_client_named_for_it_gets_a_bearer_token(
    tokens: Tokens, storefront: Instance
) -> None:
    """Only the registration takes the binding away."""
    unverified = parse(tokens.token(storefront, client_id="bearer"))
    key = tokens.keys(storefront)[unverified.key_id]
    token = verify_access_token(
        unverified, key, issuer=ISSUER, audience=ORDERS_AUDIENCE, now=tokens.clock()
    )
    assert token.confirmation is None


def test_a_scope_that_was_not_asked_for_is_told(client: httpx.Client) -> None:
    """Without a scope all are given, and the answer says which (6749, 3.3)."""
    answer = client.post("/token", data=request(scope=None))
    assert answer.json()["scope"] == "orders.read orders.write"


REFUSED: list[Any] = [
    pytest.param({"grant_type": None}, 400, "invalid_request", id="no-grant-type"),
    pytest.param({"client_id": None}, 400, "invalid_request", id="no-client-id"),
    pytest.param({"client_secret": "x"}, 400, "invalid_request", id="secret"),
    pytest.param({"client_assertion": "x"}, 400, "invalid_request", id="assertion"),
    pytest.param({"scope": ["a", "b"]}, 400, "invalid_request", id="scope-twice"),
    pytest.param({"client_id": "nobody"}, 401, "invalid_client", id="unknown-client"),
    pytest.param({"client_id": "orders"}, 401, "invalid_client", id="other-client"),
    pytest.param(
        {"grant_type": "password"}, 400, "unsupported_grant_type", id="grant-type"
    ),
    pytest.param({"resource": None}, 400, "invalid_target", id="no-resource"),
    pytest.param({"resource": "orders"}, 400, "invalid_target", id="no-uri"),
    pytest.param({"resource": STOCK_AUDIENCE}, 400, "invalid_target", id="no-edge"),
    pytest.param(
        {"resource": [ORDERS_AUDIENCE, STOCK_AUDIENCE]},
        400,
        "invalid_target",
        id="two-resources",
    ),
    pytest.param({"scope": "orders.delete"}, 400, "invalid_scope", id="scope"),
]


@pytest.mark.parametrize(("changes", "status", "code"), REFUSED)
def test_each_error_has_its_status_and_code(
    client: httpx.Client, changes: dict[str, Any], status: int, code: str
) -> None:
    """Errors are those of RFC 6749, section 5.2, and RFC 8707, section 2."""
    answer = client.post("/token", data=request(**changes))
    assert answer.status_code == status
    members = answer.json()
    assert members["error"] == code
    assert set(members) == {"error", "error_description"}
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", members["error_description"])


def test_a_401_names_no_scheme(client: httpx.Client) -> None:
    """Nobody is sent to a scheme of HTTP: the methods here are none (docs, O154)."""
    for changes in ({"client_id": "nobody"}, {"client_id": "orders"}):
        answer = client.post("/token", data=request(**changes))
        assert answer.status_code == 401
        assert "www-authenticate" not in answer.headers


def test_an_answer_never_repeats_what_was_sent(client: httpx.Client) -> None:
    """An echo could break the limits on characters, or carry a script."""
    for name in ("client_id", "grant_type", "resource", "scope"):
        answer = client.post("/token", data=request(**{name: '"<script>'}))
        assert "<script>" not in answer.text


def test_another_services_certificate_is_no_client(tokens: Tokens, mesh: Mesh) -> None:
    """A valid certificate authenticates its owner and nobody else."""
    answer = tokens.ask(mesh.instance("stock"))
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def test_what_one_certificate_may_another_may_not(
    tokens: Tokens, client: httpx.Client, mesh: Mesh
) -> None:
    """The same words, first from the client, are refused to somebody else."""
    assert client.post("/token", content=GOOD_BODY, headers=FORM).status_code == 200
    with tokens.client(mesh.instance("orders")) as other:
        refused = other.post("/token", content=GOOD_BODY, headers=FORM)
    assert refused.status_code == 401
    assert client.post("/token", content=GOOD_BODY, headers=FORM).status_code == 200


def test_unknown_and_wrong_client_look_the_same(client: httpx.Client) -> None:
    """The answer does not say which names are registered."""
    unknown = client.post("/token", data=request(client_id="nobody"))
    wrong = client.post("/token", data=request(client_id="orders"))
    assert (unknown.status_code, unknown.content) == (wrong.status_code, wrong.content)


def test_an_empty_parameter_counts_as_absent(client: httpx.Client) -> None:
    """An empty scope asks for all, an empty secret for nothing (6749, 3.2)."""
    body = GOOD_BODY.replace("scope=orders.read", "scope=") + "&client_secret="
    answer = client.post("/token", content=body, headers=FORM)
    assert answer.json()["scope"] == "orders.read orders.write"


def test_unknown_parameters_are_ignored(client: httpx.Client) -> None:
    """What nobody asks for changes nothing (6749, 3.2)."""
    answer = client.post("/token", data=request(colour="blue", audience="x"))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "authorization", ["Basic c3RvcmVmcm9udDp4", "Bearer x", ""], ids=repr
)
def test_credentials_in_a_header_are_refused(
    client: httpx.Client, authorization: str
) -> None:
    """One request, one method of authentication (RFC 6749, section 2.3)."""
    answer = client.post(
        "/token", data=request(), headers={"Authorization": authorization}
    )
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_parameters_in_the_query_are_refused(client: httpx.Client) -> None:
    """Credentials do not belong into a URI (RFC 6749, section 2.3.1)."""
    answer = client.post("/token?client_id=storefront", data=request())
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_json_is_no_form(client: httpx.Client) -> None:
    """A body of another content type is refused."""
    answer = client.post("/token", json=request())
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_body_without_a_type_is_no_form(client: httpx.Client) -> None:
    """Nothing is guessed about a body."""
    answer = client.post("/token", content=GOOD_BODY)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_body_of_the_greatest_size_is_read(client: httpx.Client) -> None:
    """The limit itself is allowed."""
    body = (GOOD_BODY + "&x=").ljust(LONGEST_BODY, "x")
    assert client.post("/token", content=body, headers=FORM).status_code == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_oversized_body_is_refused(
    tokens: Tokens, storefront: Instance, *, chunked: bool
) -> None:
    """One byte more ends the reading and the connection, announced or not."""
    body = (GOOD_BODY + "&x=").ljust(LONGEST_BODY + 1, "x").encode()
    with tokens.client(storefront) as client:
        answer = client.post(
            "/token", content=iter([body]) if chunked else body, headers=FORM
        )
    assert (answer.status_code, answer.json()["error"]) == (413, "invalid_request")
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_post_asks_for_a_token(client: httpx.Client, method: str) -> None:
    """Another method is not allowed (RFC 6749, section 3.2)."""
    answer = client.request(method, "/token")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_no_answer_of_the_endpoint_may_be_stored(client: httpx.Client) -> None:
    """Tokens and refusals alike carry both headers (RFC 6749, section 5.1)."""
    answers = [
        client.post("/token", data=request()),
        client.post("/token", data=request(client_id="nobody")),
        client.post("/token", data=request(scope="x")),
        client.post("/token?x=y", data=request()),
        client.post("/token", content=b"x" * 20_000, headers=FORM),
        client.get("/token"),
        client.post("/token/"),
        client.get("/elsewhere"),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 401, 400, 400, 413, 405, 404, 404]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"


def test_the_key_set_is_published(client: httpx.Client) -> None:
    """Public keys may be kept for a while."""
    answer = client.get("/jwks")
    (member,) = answer.json()["keys"]
    assert "d" not in member
    assert answer.headers["cache-control"] == "max-age=300"


def test_the_metadata_is_published(client: httpx.Client) -> None:
    """The document is JSON at the well-known place (RFC 8414, section 3)."""
    answer = client.get("/.well-known/oauth-authorization-server")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["issuer"] == ISSUER


def test_an_issued_token_is_logged_without_itself(
    client: httpx.Client, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says who got what, for which certificate, and never the token."""
    listen(caplog)
    token = client.post("/token", data=request()).json()["access_token"]
    line = only_line(caplog)
    assert line["event"] == "token.issued"
    assert line["client_id"] == "storefront"
    assert line["audience"] == ORDERS_AUDIENCE
    assert line["binding"] == "certificate"
    assert line["certificate"] == format(storefront.generation.serial, "x")
    assert token not in caplog.text
    assert token.partition(".")[0] not in str(line)


def test_a_refusal_is_logged_with_its_reason(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what the caller is not told."""
    client.post("/token", data=request(client_id="nobody"))
    line = only_line(caplog)
    assert (line["event"], line["level"]) == ("token.refused", "warning")
    assert line["cause"] == "UnknownClientError"
    assert line["reason"] == "client 'nobody' is not registered"
    assert line["peer"] == "spiffe://shop.internal/service/storefront"


def test_a_token_in_the_wrong_parameter_is_not_logged(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """A caller's mistake must not put a token into our log."""
    token = tokens.token(storefront)
    for name in ("client_id", "grant_type", "resource", "scope"):
        tokens.ask(storefront, **{name: token})
        assert only_line(caplog)["event"] == "token.refused"
        assert token not in str(only_line(caplog))
        caplog.clear()
