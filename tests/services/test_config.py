"""Tests of `services.config`: a document is whole and possible, or refused by name."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.config import (
    ConfigError,
    ServiceConfig,
    TokenServiceConfig,
    read_config,
)
from services.errors import ServiceError
from services.registration.methods import SubjectMatch
from tests.services.documents import (
    read,
    service_config,
    service_document,
    token_service_config,
    token_service_document,
    write,
)

# How far into a document a test reaches: `a.b` is member `b` of member `a`.
SERVICE_MEMBERS = [
    "service instance trust_domain spiffe_id address port identity app client_id",
    "token_service token_service.issuer token_service.token_endpoint",
    "token_service.jwks_uri token_service.spiffe_id",
    "guard guard.audience guard.resource guard.scopes guard.bearer_clients",
    "calls calls.stock.url calls.stock.spiffe_id calls.stock.audience",
    "calls.stock.scopes",
]
TOKEN_SERVICE_MEMBERS = [
    "service instance trust_domain spiffe_id address port identity issuer state",
    "clients",
    "clients.storefront.audiences clients.storefront.lifetime",
    "clients.storefront.binding",
]


def paths(lines: list[str]) -> list[str]:
    """Return the members named in `lines`."""
    return " ".join(lines).split()


def spoil(
    document: dict[str, Any], path: str, change: Callable[[Any, str], None]
) -> Any:
    """Return a copy of `document` with `change` made where `path` leads."""
    spoilt = copy.deepcopy(document)
    *outer, last = path.split(".")
    holder = spoilt
    for name in outer:
        holder = holder[name]
    change(holder, last)
    return spoilt


def setting(value: Any) -> Callable[[Any, str], None]:
    """Return a change that sets a member to `value`."""
    return lambda holder, name: holder.update({name: value})


def leaving_out(holder: Any, name: str) -> None:
    """Leave a member out."""
    del holder[name]


def refused(directory: Path, document: Any) -> str:
    """Return why a document is refused."""
    with pytest.raises(ConfigError) as refusal:
        read(directory, document)
    return str(refusal.value)


def test_a_service_reads(tmp_path: Path) -> None:
    """The document of a service becomes the configuration of one."""
    config = service_config(tmp_path)
    assert isinstance(config, ServiceConfig)
    assert config.calls["stock"].scopes == ["stock.read"]
    assert config.identity == Path("/srv/orders/identity/current")


def test_a_token_service_reads(tmp_path: Path) -> None:
    """The document of the token service becomes the configuration of it."""
    config = token_service_config(tmp_path)
    assert isinstance(config, TokenServiceConfig)
    assert config.clients["storefront"].tls_client_auth == SubjectMatch(
        san_uri="spiffe://shop.internal/service/storefront"
    )


def test_tls_1_3_is_what_nobody_asked_otherwise_for(tmp_path: Path) -> None:
    """Only an explicit switch goes down to TLS 1.2."""
    document = service_document()
    del document["tls_minimum"]
    assert read(tmp_path, document).tls_minimum == "1.3"
    assert service_config(tmp_path, tls_minimum="1.2").tls_minimum == "1.2"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """The message names the file that is not there."""
    with pytest.raises(ConfigError, match=r"absent\.json: No such file"):
        read_config(tmp_path / "absent.json")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00", '{"kind":"service"'])
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    """Half a document is none."""
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        read_config(path)


@pytest.mark.parametrize("kind", ["gateway", "", None, 7])
def test_another_kind_is_refused(tmp_path: Path, kind: object) -> None:
    """There are two kinds of process."""
    assert "kind" in refused(tmp_path, service_document(kind=kind))


@pytest.mark.parametrize("path", paths(SERVICE_MEMBERS))
def test_each_member_of_a_service_is_needed(tmp_path: Path, path: str) -> None:
    """No member has a default that could leave a check switched off."""
    reason = refused(tmp_path, spoil(service_document(), path, leaving_out))
    assert f"`{path.rpartition('.')[2]}`" in reason


@pytest.mark.parametrize("path", paths(TOKEN_SERVICE_MEMBERS))
def test_each_member_of_a_token_service_is_needed(tmp_path: Path, path: str) -> None:
    """No member has a default that could widen what is issued."""
    reason = refused(tmp_path, spoil(token_service_document(), path, leaving_out))
    assert f"`{path.rpartition('.')[2]}`" in reason


@pytest.mark.parametrize(
    "path",
    ["extra", "guard.extra", "token_service.extra", "calls.stock.extra"],
)
def test_an_unknown_member_of_a_service_is_refused(tmp_path: Path, path: str) -> None:
    """A misspelt member must not be taken for one that was left alone."""
    assert "`extra`" in refused(tmp_path, spoil(service_document(), path, setting(1)))


@pytest.mark.parametrize(
    "path",
    ["extra", "clients.storefront.extra", "clients.storefront.tls_client_auth.extra"],
)
def test_an_unknown_member_of_a_token_service_is_refused(
    tmp_path: Path, path: str
) -> None:
    """A misspelt member must not be taken for one that was left alone."""
    document = spoil(token_service_document(), path, setting(1))
    assert "`extra`" in refused(tmp_path, document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("service", ""),
        ("port", 0),
        ("port", 65536),
        ("port", "8442"),
        ("address", "localhost"),
        ("address", "0.0.0.0/0"),
        ("identity", "relative/path"),
        ("identity", 7),
        ("tls_minimum", "1.1"),
        ("tls_minimum", 1.3),
        ("spiffe_id", "https://shop.internal/service/orders"),
        ("spiffe_id", "spiffe://shop.internal"),
        ("token_service.issuer", "http://localhost:8440"),
        ("token_service.issuer", "https://localhost:8440?x"),
        ("token_service.issuer", "https://localhost:8440#x"),
        ("token_service.token_endpoint", "http://localhost:8440/token"),
        ("token_service.jwks_uri", "file:///etc/jwks"),
        ("token_service.spiffe_id", "token-service"),
        ("guard.audience", "orders"),
        ("guard.scopes", []),
        ("guard.scopes", ["two scopes"]),
        ("guard.scopes", ['quo"te']),
        ("guard.scopes", [""]),
        ("guard.scopes", ["orders.read\n"]),
        ("guard.audience", "https://orders.shop.internal\n"),
        ("guard.bearer_clients", "storefront"),
        ("guard.bearer_clients", [""]),
        ("calls.stock.url", "http://localhost:8443/stock"),
        ("calls.stock.spiffe_id", "spiffe://SHOP.internal/service/stock"),
        ("calls.stock.scopes", []),
    ],
)
def test_an_impossible_value_of_a_service_is_refused(
    tmp_path: Path, path: str, value: object
) -> None:
    """A value that no process could work with is refused when it is read."""
    refused(tmp_path, spoil(service_document(), path, setting(value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("issuer", "http://localhost:8440"),
        ("state", "state"),
        ("clients.storefront.lifetime", 0),
        ("clients.storefront.lifetime", 3601),
        ("clients.storefront.lifetime", "5m"),
        ("clients.storefront.binding", "bearer"),
        ("clients.storefront.binding", None),
        ("clients.storefront.audiences", {"https://orders.shop.internal": []}),
        ("clients.storefront.audiences", {"orders": ["orders.read"]}),
        ("clients.storefront.tls_client_auth", {}),
        ("clients.storefront.tls_client_auth", {"san_uri": ""}),
        ("clients.storefront.tls_client_auth", {"san_uri": None}),
        ("clients.storefront.tls_client_auth", {"san_uri": "a", "san_dns": "b"}),
        ("clients.storefront.tls_client_auth", {"san_ip": "localhost"}),
        ("clients.storefront.tls_client_auth", {"san_ip": "10.0.0.0/8"}),
        ("clients.storefront.tls_client_auth", {"subject_dn": "not a name"}),
    ],
)
def test_an_impossible_value_of_a_token_service_is_refused(
    tmp_path: Path, path: str, value: object
) -> None:
    """A registration that could match nobody, or anybody, is refused."""
    refused(tmp_path, spoil(token_service_document(), path, setting(value)))


@pytest.mark.parametrize("path", ["guard.audience", "calls.stock.scopes"])
def test_a_refusal_says_where(tmp_path: Path, path: str) -> None:
    """The message leads to the member, from the file downwards."""
    reason = refused(tmp_path, spoil(service_document(), path, setting(7)))
    assert reason.startswith(str(tmp_path / "config.json"))
    assert path.rpartition(".")[2] in reason


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_bytes_are_refused_in_our_words(tmp_path: Path, data: bytes) -> None:
    """No bytes make the reader raise anything but its own error."""
    path = write(tmp_path, {})
    path.write_bytes(data)
    with pytest.raises(ServiceError):
        read_config(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(paths(SERVICE_MEMBERS)),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
)
def test_any_value_is_taken_or_refused_in_our_words(
    tmp_path: Path, path: str, value: object
) -> None:
    """No value makes the reader raise anything but its own error."""
    document = spoil(service_document(), path, setting(value))
    try:
        json.dumps(document).encode()
        read(tmp_path, document)
    except ConfigError:
        pass


@pytest.mark.parametrize(
    ("member", "value"), [("key_rotation", 7199), ("key_lead", 899)]
)
def test_keys_are_not_rotated_faster_than_guards_learn_them(
    tmp_path: Path, member: str, value: int
) -> None:
    """A guard believes a key set for minutes, so a key must be known as long."""
    with pytest.raises(ConfigError, match=member):
        token_service_config(tmp_path, **{member: value})


def test_a_key_signs_longer_than_it_waits(tmp_path: Path) -> None:
    """Otherwise each key would be published after the one that follows it."""
    token_service_config(tmp_path, key_rotation=7200, key_lead=7199)
    with pytest.raises(ConfigError, match="7200 s before it signs leaves nothing"):
        token_service_config(tmp_path, key_rotation=7200, key_lead=7200)


def test_a_password_belongs_to_a_store(tmp_path: Path) -> None:
    """A file with a password for nothing is a mistake."""
    said = refused(tmp_path, {**service_document(), "store_password": "/etc/password"})
    assert "expected a store beside it" in said
