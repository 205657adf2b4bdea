"""Tests of `services.federation_config`: what is of which trust domain, or refused."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.config import ConfigError, ServiceConfig
from tests.services.documents import read, service_document, token_service_document

PARTNER = "other.internal"
_ABROAD = {
    "url": "https://other.internal:8443/stock",
    "spiffe_id": f"spiffe://{PARTNER}/service/stock",
    "audience": "https://stock.other.internal",
    "scopes": ["stock.read"],
    "token_service": {
        "issuer": "https://other.internal:8440",
        "token_endpoint": "https://other.internal:8440/token",
        "jwks_uri": "https://other.internal:8440/jwks",
        "spiffe_id": f"spiffe://{PARTNER}/token-service",
    },
}
_FEDERATION = {
    PARTNER: {
        "bundle": "/etc/partner.json",
        "endpoint": {
            "url": "https://other.internal:8446/bundle",
            "spiffe_id": f"spiffe://{PARTNER}/enrolment",
        },
        "callers": [f"spiffe://{PARTNER}/service/buyer"],
    }
}
Document = dict[str, Any]


def document() -> Document:
    """Return the document of a service that is called and calls abroad."""
    made = service_document(federation=_FEDERATION)
    made["calls"] = {**made["calls"], "partner-stock": _ABROAD}
    return copy.deepcopy(made)


def test_a_federated_service_is_read(tmp_path: Path) -> None:
    """Every member arrives, by the domain that it stands under."""
    config = read(tmp_path, document())
    assert isinstance(config, ServiceConfig)
    assert config.federation[PARTNER].callers == (f"spiffe://{PARTNER}/service/buyer",)
    tokens = config.calls["partner-stock"].token_service
    assert tokens is not None
    assert tokens.issuer == "https://other.internal:8440"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda it: it["federation"].update({"shop.internal": {"bundle": "/b"}}),
            "our own trust domain",
        ),
        (
            lambda it: it["federation"].update({"Other": {"bundle": "/b"}}),
            "no SPIFFE trust domain",
        ),
        (
            lambda it: it["federation"][PARTNER].update(
                callers=["spiffe://third.internal/service/buyer"]
            ),
            "not of other.internal",
        ),
        (
            lambda it: it["federation"][PARTNER]["endpoint"].update(
                spiffe_id="spiffe://third.internal/enrolment"
            ),
            "not of other.internal",
        ),
        (lambda it: it["federation"][PARTNER].update(bundle="b"), "absolute path"),
        (lambda it: it["federation"][PARTNER].update(callers=["buyer"]), "spiffe"),
        (lambda it: it.update(federation={}), "no domain in federation"),
        (
            lambda it: it["calls"]["partner-stock"].pop("token_service"),
            "tokens of its own domain alone",
        ),
        (
            lambda it: it["calls"]["partner-stock"]["token_service"].update(
                spiffe_id="spiffe://shop.internal/token-service"
            ),
            "tokens of its own domain alone",
        ),
        (
            lambda it: it["calls"]["stock"].update(
                token_service={
                    **_ABROAD["token_service"],  # type: ignore[dict-item]
                    "spiffe_id": "spiffe://shop.internal/token-service",
                }
            ),
            "tokens of its own domain alone",
        ),
    ],
)
def test_one_mistake_is_refused(
    tmp_path: Path, change: Callable[[Document], object], said: str
) -> None:
    """Nothing of one domain stands under another."""
    wrong = document()
    change(wrong)
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, wrong)


def test_a_client_of_a_federated_domain_needs_no_second_bundle(tmp_path: Path) -> None:
    """The token service knows the domain's roots from its federation."""
    client = {
        "spiffe_x509": {},
        "audiences": {"https://stock.shop.internal": ["stock.read"]},
        "lifetime": 300,
        "binding": "certificate",
    }
    made = token_service_document()
    made["clients"] = {f"spiffe://{PARTNER}/service/buyer": client}
    with pytest.raises(ConfigError, match="without a bundle"):
        read(tmp_path, made)
    read(tmp_path, {**made, "federation": _FEDERATION})
