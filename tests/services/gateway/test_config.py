"""Tests of the configuration of a gateway."""

from pathlib import Path
from typing import Any

import pytest

from services.config import ConfigError, GatewayConfig
from services.gateway.gateway import Gateway
from tests.services.documents import read, service_document, write
from tests.services.gateway.standing import gateway_document, upstream_document


def config(directory: Path, **changes: Any) -> GatewayConfig:
    """Return what the reader makes of a gateway's document, but for the `changes`."""
    made = read(directory, gateway_document(**changes))
    assert isinstance(made, GatewayConfig)
    return made


def test_a_gateway_reads(tmp_path: Path) -> None:
    """Bounds have defaults; what a caller may reach has none."""
    made = config(tmp_path)
    assert set(made.routes) == {"/orders"}
    assert made.routes["/orders"].optional_scopes == []
    assert made.patience > 0
    assert made.longest_request < made.longest_answer


@pytest.mark.parametrize(
    "prefix", ["/", "/a", "/a/b", "/a-b/c.d", "/orders_v2", "/a/b~c"]
)
def test_a_prefix_is_whole_segments(tmp_path: Path, prefix: str) -> None:
    """A plain path without its last slash."""
    assert prefix in config(tmp_path, routes={prefix: upstream_document()}).routes


@pytest.mark.parametrize(
    "prefix", ["", "a", "/a/", "//", "/..", "/a/../b", "/.a", "/%61", "/a b", "/a;b"]
)
def test_a_prefix_with_two_readings_is_refused(tmp_path: Path, prefix: str) -> None:
    """What a path could mean otherwise is no route."""
    with pytest.raises(ConfigError):
        config(tmp_path, routes={prefix: upstream_document()})


@pytest.mark.parametrize(
    "changes",
    [
        {"routes": {}},
        {"routes": {"/orders": upstream_document(scopes=[])}},
        {"routes": {"/orders": upstream_document(url="http://localhost/")}},
        {"routes": {"/orders": upstream_document(spiffe_id="orders")}},
        {"audience": ""},
        {"patience": 0},
        {"longest_request": -1},
        {"bearer_clients": ["storefront"]},
    ],
)
def test_an_impossible_value_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    """Among them a client whose tokens need no binding: there is none here."""
    with pytest.raises(ConfigError):
        config(tmp_path, **changes)


def test_a_gateway_must_be_able_to_ask(tmp_path: Path) -> None:
    """Without an introspection endpoint it could check no token."""
    address = dict(gateway_document()["token_service"])
    del address["introspection_endpoint"]
    with pytest.raises(ConfigError, match="introspection_endpoint"):
        config(tmp_path, token_service=address)


def test_another_kind_is_no_gateway(tmp_path: Path) -> None:
    """A service's document starts no gateway."""
    with pytest.raises(ConfigError, match="gateway"):
        Gateway.load(write(tmp_path, service_document()))
