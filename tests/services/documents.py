"""Good configuration documents, every member of which a test can make wrong.

`service_document` and `token_service_document` return what the roll-out would write for
the sample topology, as JSON objects; `read` passes one through the real reader.
"""

import json
from pathlib import Path
from typing import Any

from services.config import (
    ProcessConfig,
    ServiceConfig,
    TokenServiceConfig,
    read_config,
)

ISSUER = "https://localhost:8440"
STOREFRONT = "spiffe://shop.internal/service/storefront"
ORDERS_AUDIENCE = "https://orders.shop.internal"


def service_document(**changes: Any) -> dict[str, Any]:
    """Return the document of the service `orders`, but for the `changes`."""
    good = {
        "kind": "service",
        "service": "orders",
        "instance": "orders@localhost",
        "trust_domain": "shop.internal",
        "spiffe_id": "spiffe://shop.internal/service/orders",
        "address": "127.0.0.1",
        "port": 8442,
        "identity": "/srv/orders/identity/current",
        "tls_minimum": "1.3",
        "app": "services.samples.orders:create_app",
        "client_id": "orders",
        "token_service": {
            "issuer": ISSUER,
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/jwks",
            "spiffe_id": "spiffe://shop.internal/token-service",
        },
        "guard": {
            "audience": ORDERS_AUDIENCE,
            "resource": "/orders",
            "scopes": ["orders.read"],
            "bearer_clients": [],
        },
        "calls": {
            "stock": {
                "url": "https://localhost:8443/stock",
                "spiffe_id": "spiffe://shop.internal/service/stock",
                "audience": "https://stock.shop.internal",
                "scopes": ["stock.read"],
            }
        },
    }
    return {**good, **changes}


def token_service_document(**changes: Any) -> dict[str, Any]:
    """Return the document of the token service, but for the `changes`."""
    good = {
        "kind": "token-service",
        "service": "token-service",
        "instance": "token-service@localhost",
        "trust_domain": "shop.internal",
        "spiffe_id": "spiffe://shop.internal/token-service",
        "address": "127.0.0.1",
        "port": 8440,
        "identity": "/srv/token-service/identity/current",
        "tls_minimum": "1.3",
        "issuer": ISSUER,
        "state": "/srv/token-service/state",
        "clients": {"storefront": client_document()},
    }
    return {**good, **changes}


def enrolment_document(**changes: Any) -> dict[str, Any]:
    """Return the document of the CA's front, but for the `changes`."""
    good = {
        "kind": "enrolment",
        "service": "enrolment",
        "instance": "enrolment@localhost",
        "trust_domain": "shop.internal",
        "spiffe_id": "spiffe://shop.internal/enrolment",
        "address": "127.0.0.1",
        "port": 8450,
        "identity": "/srv/enrolment/identity/current",
        "ca": "/srv/ca",
        "issuing_passphrase": "/srv/secrets/issuing-passphrase",
    }
    return {**good, **changes}


def client_document(**changes: Any) -> dict[str, Any]:
    """Return the registration of the client `storefront`, but for the `changes`."""
    good = {
        "tls_client_auth": {"san_uri": STOREFRONT},
        "binding": "certificate",
        "lifetime": 300,
        "audiences": {ORDERS_AUDIENCE: ["orders.read", "orders.write"]},
    }
    return {**good, **changes}


def write(directory: Path, document: Any) -> Path:
    """Write a document as a file in `directory`, and return the file."""
    path = directory / "config.json"
    path.write_text(json.dumps(document))
    return path


def read(directory: Path, document: dict[str, Any]) -> ProcessConfig:
    """Return what the real reader makes of a document."""
    return read_config(write(directory, document))


def service_config(directory: Path, **changes: Any) -> ServiceConfig:
    """Return the configuration of `orders`, but for the `changes`."""
    config = read(directory, service_document(**changes))
    assert isinstance(config, ServiceConfig)
    return config


def token_service_config(directory: Path, **changes: Any) -> TokenServiceConfig:
    """Return the configuration of the token service, but for the `changes`."""
    config = read(directory, token_service_document(**changes))
    assert isinstance(config, TokenServiceConfig)
    return config
