"""Tests of `services.token.metadata`: what the token service says about itself."""

from pathlib import Path

import pytest

from services.proof.embedded_key import PROOF_ALGORITHMS
from services.token.metadata import metadata, metadata_path
from tests.services.documents import (
    ISSUER,
    client_document,
    token_service_config,
)
from tests.services.proofs import Prover


def test_every_member_is_true(tmp_path: Path) -> None:
    """The document says what is offered, and nothing that is not (RFC 8414, 2)."""
    assert metadata(token_service_config(tmp_path)) == {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "mtls_endpoint_aliases": {
            "token_endpoint": f"{ISSUER}/token",
            "introspection_endpoint": f"{ISSUER}/introspect",
            "revocation_endpoint": f"{ISSUER}/revoke",
        },
        "jwks_uri": f"{ISSUER}/jwks",
        "scopes_supported": ["orders.read", "orders.write"],
        "protected_resources": ["https://orders.shop.internal"],
        "grant_types_supported": [
            "client_credentials",
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ],
        "token_endpoint_auth_methods_supported": ["tls_client_auth"],
        "introspection_endpoint_auth_methods_supported": ["tls_client_auth"],
        "revocation_endpoint_auth_methods_supported": ["tls_client_auth"],
        "introspection_signing_alg_values_supported": ["ES256"],
        "dpop_signing_alg_values_supported": sorted(PROOF_ALGORITHMS),
        "tls_client_certificate_bound_access_tokens": True,
    }


@pytest.mark.parametrize("base", ["https://mtls.internal", "https://mtls.internal/"])
def test_another_host_for_mutual_tls_is_an_alias(tmp_path: Path, base: str) -> None:
    """Issuer, key set and plain endpoints are not changed by it (RFC 8705, 5)."""
    plain = metadata(token_service_config(tmp_path))
    document = metadata(token_service_config(tmp_path, mtls_base=base))
    assert document.pop("mtls_endpoint_aliases") == {
        "token_endpoint": "https://mtls.internal/token",
        "introspection_endpoint": "https://mtls.internal/introspect",
        "revocation_endpoint": "https://mtls.internal/revoke",
    }
    del plain["mtls_endpoint_aliases"]
    assert document == plain


def test_scopes_of_all_clients_are_named_once(tmp_path: Path) -> None:
    """The list is the sorted sum of all registrations."""
    other = client_document(
        audiences={"https://stock.shop.internal": ["stock.read", "orders.read"]}
    )
    clients = {"storefront": client_document(), "orders": other}
    assert metadata(token_service_config(tmp_path, clients=clients))[
        "scopes_supported"
    ] == ["orders.read", "orders.write", "stock.read"]


def test_a_list_without_elements_is_left_out(tmp_path: Path) -> None:
    """A member of zero elements is omitted (RFC 8414, section 3.2)."""
    assert "scopes_supported" not in metadata(
        token_service_config(tmp_path, clients={})
    )


def test_the_methods_are_those_that_are_registered(tmp_path: Path) -> None:
    """The algorithms are told where, and only where, assertions are taken."""
    signed = client_document(private_key_jwt={"jwks": {"keys": [Prover().public()]}})
    del signed["tls_client_auth"]
    config = token_service_config(tmp_path, clients={"signing": signed})
    told = metadata(config)
    for endpoint in ("token", "introspection", "revocation"):
        methods = told[f"{endpoint}_endpoint_auth_methods_supported"]
        assert methods == ["private_key_jwt"]
        algorithms = told[f"{endpoint}_endpoint_auth_signing_alg_values_supported"]
        assert algorithms == list(PROOF_ALGORITHMS)
        assert "none" not in algorithms


def test_without_clients_no_secret_is_promised(tmp_path: Path) -> None:
    """An absent list would mean client_secret_basic (RFC 8414, section 2)."""
    told = metadata(token_service_config(tmp_path, clients={}))
    assert told["token_endpoint_auth_methods_supported"] == ["tls_client_auth"]


@pytest.mark.parametrize("issuer", ["https://a.internal", "https://a.internal/x/"])
def test_the_issuer_is_repeated_to_the_letter(tmp_path: Path, issuer: str) -> None:
    """The issuer is the one of the configuration (RFC 8414, section 3.3)."""
    document = metadata(token_service_config(tmp_path, issuer=issuer))
    assert document["issuer"] == issuer
    assert document["token_endpoint"] == issuer.rstrip("/") + "/token"
    assert document["jwks_uri"] == issuer.rstrip("/") + "/jwks"


@pytest.mark.parametrize(
    ("issuer", "path"),
    [
        ("https://a.internal", "/.well-known/oauth-authorization-server"),
        ("https://a.internal/", "/.well-known/oauth-authorization-server"),
        ("https://a.internal/x", "/.well-known/oauth-authorization-server/x"),
        ("https://a.internal/x/y/", "/.well-known/oauth-authorization-server/x/y"),
    ],
)
def test_the_well_known_part_comes_first(issuer: str, path: str) -> None:
    """It stands between host and path of the issuer (RFC 8414, section 3.1)."""
    assert metadata_path(issuer) == path
