"""Tests of `services.guard.metadata`: what a guarded service says about itself."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.guard.credentials import BEARER, DPOP
from services.guard.metadata import metadata, metadata_paths, metadata_url
from services.proof.embedded_key import PROOF_ALGORITHMS
from tests.services.documents import (
    ISSUER,
    ORDERS_AUDIENCE,
    service_config,
    service_document,
)
from tests.services.guarding import Service, guarded
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.running import Tokens, token_service

WELL_KNOWN = "/.well-known/oauth-protected-resource"
ADDRESS = "https://orders.example:8442"


def guard(**changes: Any) -> dict[str, Any]:
    """Return the guard's part of a document, but for the `changes`."""
    return {**service_document()["guard"], **changes}


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
    """Return a guarded service that is reached by two names."""
    directory = tmp_path_factory.mktemp("orders")
    own = guard(origins=[ADDRESS, "https://localhost:8442"])
    with guarded(
        tokens, serve, mesh.instance("orders"), directory, guard=own
    ) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return the caller."""
    return mesh.instance("storefront")


def document(directory: Path, schemes: tuple[str, ...]) -> dict[str, Any]:
    """Return the document of a service that takes tokens under `schemes`."""
    config = service_config(directory)
    return metadata(
        config.guard.audience,
        issuer=config.token_service.issuer,
        scopes=config.guard.scopes,
        schemes=schemes,
    )


def told(answer: httpx.Response) -> str:
    """Return where the challenge says that the metadata is."""
    (url,) = re.findall(
        r'resource_metadata="([^"]*)"', answer.headers["www-authenticate"]
    )
    return str(url)


def test_every_member_is_true(tmp_path: Path) -> None:
    """The document says what is taken, and nothing that is not (RFC 9728, 2)."""
    assert document(tmp_path, (BEARER,)) == {
        "resource": ORDERS_AUDIENCE,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["orders.read"],
        "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": True,
        "dpop_bound_access_tokens_required": False,
    }


def test_the_algorithms_of_dpop_are_told_where_it_is_taken(tmp_path: Path) -> None:
    """A list that is empty would be left out (section 3.2)."""
    members = document(tmp_path, (BEARER, DPOP))
    algorithms = members["dpop_signing_alg_values_supported"]
    assert algorithms == sorted(PROOF_ALGORITHMS)


@pytest.mark.parametrize(
    ("audience", "path"),
    [
        ("https://orders.shop.internal", ""),
        ("https://orders.shop.internal/", ""),
        ("https://shop.internal/orders", "/orders"),
        ("https://shop.internal/a/b/", "/a/b"),
    ],
)
def test_the_well_known_part_comes_first(audience: str, path: str) -> None:
    """It stands between host and path of the resource (section 3.1)."""
    assert WELL_KNOWN + path in metadata_paths(audience)
    assert metadata_url(audience, [], "").endswith(f"{WELL_KNOWN}{path}")


def test_an_audience_that_is_the_address_makes_all_agree() -> None:
    """Then section 3.3 holds from either end."""
    audience = f"{ADDRESS}/orders"
    assert metadata_paths(audience, "/orders") == {f"{WELL_KNOWN}/orders"}
    assert metadata_url(audience, [ADDRESS], "") == f"{ADDRESS}{WELL_KNOWN}/orders"


def test_a_caller_is_sent_to_the_address_it_used() -> None:
    """If that is one of ours; a Host header sends nobody anywhere else."""
    both = [ADDRESS, "https://localhost:8442"]

    def url(host: str) -> str:
        return metadata_url(ORDERS_AUDIENCE, both, host)

    assert url("localhost:8442").startswith("https://localhost:8442/")
    assert url("LOCALHOST:8442").startswith("https://localhost:8442/")
    assert url("evil.example").startswith(ADDRESS)
    assert url("").startswith(ADDRESS)


def test_without_origins_the_audience_is_all_there_is() -> None:
    """Its name is the only root that is known."""
    assert metadata_url(ORDERS_AUDIENCE, [], "x") == f"{ORDERS_AUDIENCE}{WELL_KNOWN}"


@pytest.mark.parametrize("path", [WELL_KNOWN, f"{WELL_KNOWN}/orders"])
def test_the_document_needs_no_token(
    orders: Service, storefront: Instance, path: str
) -> None:
    """It is there before a client has one, over mutual TLS, and may be kept a while."""
    with orders.client(storefront) as client:
        answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "max-age=300"
    assert answer.json()["resource"] == ORDERS_AUDIENCE


def test_a_token_beside_it_is_not_looked_at(
    orders: Service, storefront: Instance
) -> None:
    """A client that sends its token with everything is not refused for it."""
    assert orders.get(storefront, "x", WELL_KNOWN).status_code == 200


@pytest.mark.parametrize(
    "path", ["/.well-known/oauth-protected-resource/stock", f"{WELL_KNOWN}x"]
)
def test_what_is_beside_it_is_guarded(
    orders: Service, storefront: Instance, path: str
) -> None:
    """Only the document itself is open."""
    with orders.client(storefront) as client:
        assert client.get(path).status_code == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_it_can_only_be_read(
    orders: Service, storefront: Instance, method: str
) -> None:
    """Another method is not allowed, and reaches no application."""
    with orders.client(storefront) as client:
        answer = client.request(method, WELL_KNOWN)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_every_challenge_leads_to_it(
    orders: Service, storefront: Instance, tokens: Tokens, mesh: Mesh
) -> None:
    """Whatever the refusal, the parameter is there (section 5.1)."""
    narrow = tokens.token(storefront, scope="orders.read")
    thief = mesh.instance("stock")
    with orders.client(storefront) as client, orders.client(thief) as stolen:
        bearer = {"Authorization": f"Bearer {narrow}"}
        answers = [
            client.get("/orders"),
            client.get("/orders", headers={"Authorization": "Bearer x"}),
            client.get("/orders", headers={"Authorization": "Bearer !"}),
            client.post("/orders", headers=bearer),
            stolen.get("/orders", headers=bearer),
        ]
    assert [answer.status_code for answer in answers] == [401, 401, 400, 403, 401]
    assert {told(answer) for answer in answers} == {f"{ADDRESS}{WELL_KNOWN}"}


def test_the_host_that_was_named_is_led_to_itself(
    orders: Service, storefront: Instance
) -> None:
    """The document is then under the name that the client knows."""
    with orders.client(storefront) as client:
        answer = client.get("/orders", headers={"Host": "localhost:8442"})
        evil = client.get("/orders", headers={"Host": 'evil.example"'})
    assert told(answer) == f"https://localhost:8442{WELL_KNOWN}"
    assert told(evil) == f"{ADDRESS}{WELL_KNOWN}"
