"""Other trust domains in a topology: derived for whom they concern, or refused."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml
from ansible_collections.certbound.kit.plugins.inventory.topology import load
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.document import (
    TopologyError,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.model import (
    Topology,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.places import (
    Places,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.processes import (
    process_document,
)

from services.config import (
    GatewayConfig,
    ProcessConfig,
    ServiceConfig,
    TokenServiceConfig,
)
from services.registration.methods import SubjectMatch
from tests.services.documents import read

PARTNER = "partner.example"
BUYER = f"spiffe://{PARTNER}/service/buyer"
PLACES = Places(PurePosixPath("/srv/kit"), PurePosixPath("/srv/kit/certs"))
Said = dict[str, Any]
Read = Callable[[Said], Topology]


def said() -> Said:
    """Return what the sample topology says of another domain, with every key."""
    return {
        "bundle": "/etc/partner.json",
        "endpoint": {"url": "https://ca.partner.example:8446/bundle"},
        "revocation": {"url": "http://ca.partner.example:8451/pki", "bound": "1m"},
        "token_service": {"issuer": "https://tokens.partner.example:8440"},
        "callers": {BUYER: {"stock": ["stock.read"]}},
        "services": {
            "catalogue": {
                "url": "https://catalogue.partner.example:8443",
                "spiffe_id": f"spiffe://{PARTNER}/service/catalogue",
                "audience": "https://catalogue.partner.example",
            }
        },
        "calls": {"storefront": {"catalogue": ["catalogue.read"]}},
    }


@pytest.fixture
def read_federated(tmp_path: Path, sample: str) -> Read:
    """Return the reader of the sample topology with another domain beside it."""

    def read_federated(partner: Said) -> Topology:
        path = tmp_path / "topology.yml"
        federation = yaml.safe_dump({"federation": {PARTNER: partner}})
        path.write_text(f"{sample}\n{federation}")
        return load(path)

    return read_federated


@pytest.fixture
def topology(read_federated: Read) -> Topology:
    """Return the sample topology, federated with another domain."""
    return read_federated(said())


def config_of(topology: Topology, name: str, directory: Path) -> ProcessConfig:
    """Return what a process would read."""
    return read(directory, process_document(topology, name, "localhost", PLACES))


def test_who_is_called_admits_its_callers(topology: Topology, tmp_path: Path) -> None:
    """The service that is called knows the domain's bundle, and who may call it."""
    config = config_of(topology, "stock", tmp_path)
    domain = config.federation[PARTNER]
    assert domain.callers == (BUYER,)
    assert domain.bundle == Path("/etc/partner.json")
    assert domain.revocation is not None
    assert domain.revocation.bound == 60
    assert domain.endpoint is not None
    assert domain.endpoint.spiffe_id == f"spiffe://{PARTNER}/enrolment"


def test_who_calls_knows_the_way_and_admits_nobody(
    topology: Topology, tmp_path: Path
) -> None:
    """Its document names callee and token service of the other domain."""
    config = config_of(topology, "storefront", tmp_path)
    assert isinstance(config, ServiceConfig)
    assert config.federation[PARTNER].callers == ()
    callee = config.calls["catalogue"]
    assert callee.scopes == ["catalogue.read"]
    assert callee.token_service is not None
    assert callee.token_service.spiffe_id == f"spiffe://{PARTNER}/token-service"
    assert "orders" in config.calls


def test_the_token_service_registers_the_callers(
    topology: Topology, tmp_path: Path
) -> None:
    """By the SPIFFE ID in a certificate of their own domain, for what they may call."""
    config = config_of(topology, "token-service", tmp_path)
    assert isinstance(config, TokenServiceConfig)
    client = config.clients[BUYER]
    assert client.method == (
        "tls_client_auth",
        SubjectMatch(san_uri=BUYER, trust_domain=PARTNER),
    )
    assert client.audiences == {"https://stock.shop.internal": ["stock.read"]}
    assert client.binding == "certificate"
    assert PARTNER in config.federation


@pytest.mark.parametrize("name", ["orders", "edge"])
def test_nobody_else_hears_of_the_domain(
    topology: Topology, tmp_path: Path, name: str
) -> None:
    """Who neither calls nor is called admits and trusts nothing of it."""
    config = config_of(topology, name, tmp_path)
    assert isinstance(config, ServiceConfig | GatewayConfig)
    assert config.federation == {}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda it: it.pop("bundle"), f"{PARTNER}.bundle: missing, expected"),
        (lambda it: it.update(roots="/a"), f"{PARTNER}.roots: unknown key"),
        (
            lambda it: it["callers"].update({"buyer": {"stock": ["stock.read"]}}),
            "callers.buyer: unusable name, expected a SPIFFE ID",
        ),
        (
            lambda it: it["callers"].update(
                {"spiffe://third.example/service/x": {"stock": ["stock.read"]}}
            ),
            "spiffe://third.example/service/x: expected one of partner.example",
        ),
        (
            lambda it: it["callers"].update({BUYER: {"stocks": ["stock.read"]}}),
            "'stocks' is no service",
        ),
        (
            lambda it: it["callers"].update({BUYER: {"edge": ["orders.read"]}}),
            "'edge' is no service",
        ),
        (
            lambda it: it["callers"].update({BUYER: {"stock": ["orders.read"]}}),
            "'orders.read' is no scope that it offers, expected one of stock.read",
        ),
        (
            lambda it: it["calls"].update(shop={"catalogue": ["a"]}),
            "'shop' is no service",
        ),
        (
            lambda it: it["calls"].update(storefront={"stock": ["a"]}),
            "'stock' is no service of federation",
        ),
        (
            lambda it: it.pop("token_service"),
            "token_service: missing, expected where its tokens come from",
        ),
        (
            lambda it: it["token_service"].update(
                spiffe_id="spiffe://shop.internal/token-service"
            ),
            "token_service.spiffe_id: expected one of partner.example",
        ),
        (
            lambda it: it["endpoint"].update(spiffe_id="spiffe://third.example/ca"),
            "endpoint.spiffe_id: expected one of partner.example",
        ),
        (
            lambda it: it["services"]["catalogue"].update(
                spiffe_id="spiffe://shop.internal/service/stock"
            ),
            "catalogue.spiffe_id: expected one of partner.example",
        ),
        (
            lambda it: it["services"].update(stock=dict(it["services"]["catalogue"])),
            "services.stock: is the name of another service already",
        ),
        (
            lambda it: it["revocation"].update(bound="3s"),
            "revocation.bound: expected 4s to 1h",
        ),
        (
            lambda it: it["revocation"].update(bound="61m"),
            "revocation.bound: expected 4s to 1h",
        ),
        (
            lambda it: it["endpoint"].update(url="http://ca.partner.example"),
            "endpoint.url: got",
        ),
    ],
)
def test_one_mistake_is_refused(
    read_federated: Read, change: Callable[[Said], object], sentence: str
) -> None:
    """Each alone, with the key and what was expected."""
    wrong = said()
    change(wrong)
    with pytest.raises(TopologyError) as caught:
        read_federated(wrong)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ("partner.example:", "shop.internal:", "is our own trust domain already"),
        (
            "  port: 8440\n",
            "  port: 8440\n  trust_bundles: {partner.example: /a}\n",
            "is a client's trust domain already",
        ),
        (
            "clients:\n",
            (
                f"clients:\n  {BUYER}: {{authentication: {{spiffe_x509: {{}}}}, "
                "calls: {stock: [stock.read]}}\n"
            ),
            "is of partner.example, expected its roots in token_service.trust_bundles",
        ),
    ],
)
def test_a_domain_stands_in_one_place(
    tmp_path: Path, sample: str, before: str, after: str, sentence: str
) -> None:
    """Else two parts of the file would say who is trusted."""
    path = tmp_path / "topology.yml"
    federation = yaml.safe_dump({"federation": {PARTNER: said()}})
    path.write_text(f"{sample}\n{federation}".replace(before, after, 1))
    with pytest.raises(TopologyError, match=sentence):
        load(path)


def with_endpoint(sample: str, port: int, *, front: bool = True) -> str:
    """Return the sample with a bundle endpoint, and with a front or without."""
    document = yaml.safe_load(sample)
    document["ca"] = {"host": "localhost", "bundle": {"port": port}}
    if front:
        document["ca"]["port"] = 8450
    return yaml.safe_dump(document)


def test_the_front_tells_our_bundle(tmp_path: Path, sample: str) -> None:
    """At the port that the topology says; without one there is no endpoint."""
    path = tmp_path / "topology.yml"
    path.write_text(with_endpoint(sample, 8452))
    told = process_document(load(path), "enrolment", "localhost", PLACES)
    assert told["bundle_port"] == 8452
    path.write_text(sample)
    untold = process_document(load(path), "enrolment", "localhost", PLACES)
    assert "bundle_port" not in untold


@pytest.mark.parametrize(
    ("port", "front", "sentence"),
    [
        (8452, False, "ca.bundle: is the CA's front's, expected ca.port beside it"),
        (8450, True, "8450 is the port of"),
        (8441, True, "8441 is the port of"),
    ],
)
def test_an_endpoint_needs_a_front_and_a_port(
    tmp_path: Path, sample: str, port: int, *, front: bool, sentence: str
) -> None:
    """Of its own: nobody else listens there."""
    path = tmp_path / "topology.yml"
    path.write_text(with_endpoint(sample, port, front=front))
    with pytest.raises(TopologyError) as caught:
        load(path)
    assert sentence in str(caught.value)
