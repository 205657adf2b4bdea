"""Everything is derived from the topology, in the form that each reader takes."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path, PurePosixPath

import pytest
from ansible_collections.certbound.kit.plugins.inventory.topology import (
    group_of,
    load,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.deployment import (
    deployment,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.hops import (
    proxies,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.instances import (
    accounts,
    identities,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.model import (
    Route,
    Topology,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.places import (
    Places,
    user_of,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.policy import (
    ca_policy,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.processes import (
    process_document,
    processes,
)
from ansible_collections.certbound.kit.plugins.plugin_utils.topology.profile import (
    LONGEST_TOKEN,
)

from pki.policy import Policy, read_policy
from services.config import (
    ConfigError,
    GatewayConfig,
    ProcessConfig,
    ServiceConfig,
    TokenServiceConfig,
    read_config,
)
from services.deployment import read_deployment
from services.rates import Rate, Rates
from services.registration.methods import SelfSigned, SpiffeX509, SubjectMatch

PLACES = Places(PurePosixPath("/srv/kit"), PurePosixPath("/srv/kit/certs"))


@pytest.fixture
def topology(project: Path) -> Topology:
    """Return the sample topology."""
    return load(project / "playbooks" / "topology.yml")


@pytest.fixture
def spread(tmp_path: Path, sample: str) -> Topology:
    """Return a topology over two hosts, orders and the token service on both."""
    text = (
        sample.replace(
            "  localhost: { address: 127.0.0.1, dns: localhost }",
            "  one: { address: 10.0.0.1, dns: one.shop.internal }\n"
            "  two: { address: 10.0.0.2, dns: two.example.test }",
        )
        .replace("host: localhost", "host: one")
        .replace("issuer: https://localhost", "issuer: https://two.example.test")
        .replace("hosts: [localhost]\n  port: 8440", "hosts: [one, two]\n  port: 8440")
        .replace(
            "hosts: [localhost]\n    port: 8442", "hosts: [one, two]\n    port: 8442"
        )
        .replace("hosts: [localhost]", "hosts: [one]")
        .replace("  port: 8440", "  port: 8440\n  store: rediss://redis.shop.internal")
    )
    path = tmp_path / "topology.yml"
    path.write_text(text)
    return load(path)


def config_of(topology: Topology, service: str, tmp_path: Path) -> ProcessConfig:
    """Return a derived document as the process itself reads it."""
    path = tmp_path / "config.json"
    host = next(iter(topology.hosts))
    path.write_text(json.dumps(process_document(topology, service, host, PLACES)))
    return read_config(path)


def policy_of(topology: Topology) -> Policy:
    """Return the derived policy as the CA itself reads it."""
    return read_policy(json.dumps(ca_policy(topology)).encode())


def test_ca_takes_the_policy(topology: Topology) -> None:
    """The CA reads the derived policy: names and lives of every instance."""
    assert set(policy_of(topology).identities) == {
        "token-service@localhost",
        "storefront@localhost",
        "orders@localhost",
        "stock@localhost",
        "enrolment@localhost",
        "edge@localhost",
    }
    document = ca_policy(topology)
    assert document["permitted_dns"] == ["shop.internal", "localhost"]
    assert document["lifetimes"] == {"root": 315360000, "issuing_ca": 15552000}
    assert document["identities"]["orders@localhost"] == {
        "spiffe_id": "spiffe://shop.internal/service/orders",
        "dns_names": ["orders.shop.internal", "localhost"],
        "lifetime": 86400,
    }


def test_each_process_takes_its_configuration(
    topology: Topology, tmp_path: Path
) -> None:
    """Every process reads the document derived for it, strictly."""
    for name in topology.services:
        assert isinstance(config_of(topology, name, tmp_path), ServiceConfig)


def test_guard_is_told_what_to_demand(topology: Topology, tmp_path: Path) -> None:
    """A guard has its service's audience and scopes, and takes no bearer tokens."""
    orders = config_of(topology, "orders", tmp_path)
    assert isinstance(orders, ServiceConfig)
    assert orders.guard.audience == "https://orders.shop.internal"
    assert orders.guard.scopes == ["orders.read"]
    assert orders.guard.bearer_clients == []
    assert orders.guard.origins == [
        "https://orders.shop.internal:8442",
        "https://localhost:8442",
    ]
    stock = config_of(topology, "stock", tmp_path)
    assert isinstance(stock, ServiceConfig)
    assert stock.guard.bearer_clients == []


def test_caller_is_told_whom_to_call(topology: Topology, tmp_path: Path) -> None:
    """A caller has its callee's address, identity, audience and scopes."""
    orders = config_of(topology, "orders", tmp_path)
    assert isinstance(orders, ServiceConfig)
    stock = orders.calls["stock"]
    assert stock.url == "https://localhost:8443/stock"
    assert stock.spiffe_id == "spiffe://shop.internal/service/stock"
    assert stock.audience == "https://stock.shop.internal"
    assert stock.scopes == ["stock.read"]


def test_token_service_is_told_its_clients(topology: Topology, tmp_path: Path) -> None:
    """Each service is a client, with what it may ask for; so are the others."""
    config = config_of(topology, "token-service", tmp_path)
    assert isinstance(config, TokenServiceConfig)
    storefront = config.clients["storefront"]
    assert storefront.tls_client_auth == SubjectMatch(
        san_uri="spiffe://shop.internal/service/storefront"
    )
    assert storefront.audiences == {"https://orders.shop.internal": ["orders.read"]}
    assert storefront.binding == "certificate"
    assert config.clients["stock"].audiences == {}
    assert config.clients["drill-bearer"].binding == "none"
    assert config.clients["drill-bearer"].lifetime == 300
    assert config.clients["drill-brief"].lifetime == 2


def test_only_a_client_that_exchanges_may(topology: Topology, tmp_path: Path) -> None:
    """A further client of a service gets its audience only if it exchanges."""
    config = config_of(topology, "token-service", tmp_path)
    assert isinstance(config, TokenServiceConfig)
    onward, own = config.clients["drill-onward-brief"], config.clients["orders"]
    assert (onward.audience, onward.delegates) == (own.audience, own.delegates)
    assert onward.audience == "https://orders.shop.internal"
    assert onward.lifetime == 2
    for name in ("drill-brief", "drill-dpop", "drill-phantom", "drill-bearer"):
        assert (config.clients[name].audience, config.clients[name].delegates) == (
            None,
            {},
        )


def test_gateway_is_told_where_its_routes_lead(
    topology: Topology, tmp_path: Path
) -> None:
    """It has each upstream's address and identity, and where it asks about tokens."""
    edge = config_of(topology, "edge", tmp_path)
    assert isinstance(edge, GatewayConfig)
    assert edge.audience == "https://edge.shop.internal"
    assert edge.token_service.introspection_endpoint == (
        "https://localhost:8440/introspect"
    )
    assert edge.origins == ["https://edge.shop.internal:8444", "https://localhost:8444"]
    orders = edge.routes["/orders"]
    assert orders.url == "https://localhost:8442/orders"
    assert orders.spiffe_id == "spiffe://shop.internal/service/orders"
    assert orders.audience == "https://orders.shop.internal"
    assert (orders.scopes, orders.optional_scopes) == (["orders.read"], [])


def test_gateway_reaches_no_further_than_its_caller(
    topology: Topology, tmp_path: Path
) -> None:
    """As a client it may exchange a scope for the same one behind it, and no other."""
    routes = {
        "/orders": Route("orders", ("orders.read",), ("orders.all",)),
        "/stock": Route("stock", ("stock.read",), ()),
    }
    edge = replace(topology.gateways["edge"], routes=routes)
    config = config_of(
        replace(topology, gateways={"edge": edge}), "token-service", tmp_path
    )
    assert isinstance(config, TokenServiceConfig)
    client = config.clients["edge"]
    assert client.audience == "https://edge.shop.internal"
    orders, stock = "https://orders.shop.internal", "https://stock.shop.internal"
    assert client.audiences == {
        orders: ["orders.read", "orders.all"],
        stock: ["stock.read"],
    }
    assert client.delegates == {
        "orders.read": {orders: ["orders.read"]},
        "orders.all": {orders: ["orders.all"]},
        "stock.read": {stock: ["stock.read"]},
    }
    phantom = config.clients["drill-phantom"]
    assert (phantom.format, phantom.audiences) == (
        "opaque",
        {"https://edge.shop.internal": ["orders.read"]},
    )


def test_only_whom_a_gateway_leads_to_believes_it(
    topology: Topology, tmp_path: Path
) -> None:
    """Orders takes the gateway's word for who calls; nobody else does."""
    orders = config_of(topology, "orders", tmp_path)
    (hop,) = orders.trusted_hops
    assert (hop.form, hop.binding) == ("client-cert", "hop")
    assert hop.spiffe_id == "spiffe://shop.internal/service/edge"
    for name in ("token-service", "storefront", "stock", "edge"):
        assert config_of(topology, name, tmp_path).trusted_hops == ()


def test_a_service_may_call_through_a_gateway(
    topology: Topology, tmp_path: Path
) -> None:
    """It is told the gateway's root, identity and audience."""
    calls = {"edge": ("orders.read",)}
    storefront = replace(topology.services["storefront"], calls=calls)
    services = {**topology.services, "storefront": storefront}
    config = config_of(replace(topology, services=services), "storefront", tmp_path)
    assert isinstance(config, ServiceConfig)
    edge = config.calls["edge"]
    assert edge.url == "https://localhost:8444"
    assert edge.spiffe_id == "spiffe://shop.internal/service/edge"
    assert edge.audience == "https://edge.shop.internal"


def test_gateways_are_described_for_machines(topology: Topology) -> None:
    """A gateway has what a service has, and its routes; its processes are listed."""
    description = deployment(topology, PLACES)
    edge = description["gateways"]["edge"]
    assert edge["url"] == "https://localhost:8444"
    assert (edge["client_id"], edge["audience"]) == (
        "edge",
        "https://edge.shop.internal",
    )
    assert edge["routes"] == {
        "/orders": {
            "service": "orders",
            "scopes": ["orders.read"],
            "optional_scopes": [],
        }
    }
    assert set(edge) >= {*("host", "spiffe_id", "dns_names", "address", "port")}
    (instance,) = [one for one in description["instances"] if one["service"] == "edge"]
    assert instance["instance"] == "edge@localhost"
    assert instance["url"] == "https://localhost:8444"


def test_profile_reaches_every_process(topology: Topology, tmp_path: Path) -> None:
    """Under FAPI 2.0 each document says so, and each process takes it."""
    clients = {
        name: client
        for name, client in topology.clients.items()
        if client.binding != "none"
    }
    lifetimes = replace(topology.lifetimes, token=LONGEST_TOKEN)
    strict = replace(
        topology, profile="fapi2", clients=clients, lifetimes=lifetimes, drill=None
    )
    for name in ("token-service", *strict.workloads):
        assert config_of(topology, name, tmp_path).profile == "oauth2"
        assert config_of(strict, name, tmp_path).profile == "fapi2"
    longer = replace(lifetimes, token=LONGEST_TOKEN + timedelta(seconds=1))
    with pytest.raises(ConfigError, match="fapi2 allows a token 600 s at most"):
        config_of(replace(strict, lifetimes=longer), "token-service", tmp_path)


def test_monitors_reach_every_process(tmp_path: Path, sample: str) -> None:
    """A service is named by its name, anybody else by a SPIFFE ID."""
    path = tmp_path / "topology.yml"
    path.write_text(f"monitors: [stock, 'spiffe://shop.internal/watch']\n{sample}")
    topology = load(path)
    for name in ("token-service", *topology.workloads):
        assert config_of(topology, name, tmp_path).monitors == (
            "spiffe://shop.internal/service/stock",
            "spiffe://shop.internal/watch",
        )


OUTSIDE = """
  partner:
    authentication:
      tls_client_auth: { san_dns: app.partner.test, trust_domain: partner.test }
    calls: { edge: [orders.read] }
  desk:
    authentication:
      self_signed_tls_client_auth:
        jwks_uri: https://desk.test/jwks
        trust_bundle: /etc/certbound/desk.pem
        networks: [10.1.0.0/16]
    calls: { orders: [orders.read] }
  robot:
    authentication:
      private_key_jwt: { jwks: { keys: [%s] } }
    binding: dpop
    calls: { orders: [orders.read] }
  spiffe://partner.test/robot:
    authentication: { spiffe_x509: {} }
    calls: { orders: [orders.read] }
"""


def test_outside_clients_prove_themselves_as_they_say(
    tmp_path: Path, sample: str
) -> None:
    """A client that is no service of ours is registered by any of the four methods."""
    # RFC 7515, appendix A.3.1
    jwk = (
        '{"kty":"EC","crv":"P-256","kid":"1",'
        '"x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",'
        '"y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}'
    )
    path = tmp_path / "topology.yml"
    path.write_text(
        sample.replace("\nclients:\n", "\nclients:" + OUTSIDE % jwk).replace(
            "  port: 8440\n",
            "  port: 8440\n  trust_bundles: {partner.test: /etc/partner.pem}\n",
        )
    )
    config = config_of(load(path), "token-service", tmp_path)
    assert isinstance(config, TokenServiceConfig)
    assert config.trust_bundles == {"partner.test": Path("/etc/partner.pem")}
    partner, desk, robot, spiffe = (
        config.clients[name]
        for name in ("partner", "desk", "robot", "spiffe://partner.test/robot")
    )
    assert partner.tls_client_auth == SubjectMatch(
        san_dns="app.partner.test", trust_domain="partner.test"
    )
    assert partner.audiences == {"https://edge.shop.internal": ["orders.read"]}
    assert desk.self_signed_tls_client_auth == SelfSigned(
        jwks_uri="https://desk.test/jwks",
        trust_bundle=Path("/etc/certbound/desk.pem"),
        networks=("10.1.0.0/16",),
    )
    assert robot.private_key_jwt is not None
    assert [one.key_id for one in robot.private_key_jwt.registered()] == ["1"]
    assert (robot.binding, desk.binding) == ("dpop", "certificate")
    assert spiffe.spiffe_x509 == SpiffeX509()


STORED = """
  store: rediss://certbound@redis.shop.internal:6379/0?ssl_ca_certs=/etc/certbound/ca.pem
  store_password: /etc/certbound/redis-password
  key_rotation: 7d
  key_lead: 2h
  mtls_base: https://mtls.shop.internal
  rates: { token: { per_second: 0.5, burst: 3 } }
"""


def test_ledger_may_be_in_a_database(tmp_path: Path, sample: str) -> None:
    """It is a file unless the topology says a URL."""
    path = tmp_path / "topology.yml"
    path.write_text(sample)
    assert load(path).ledger is None
    where = "postgresql://certbound@/ledger?host=/run/postgresql"
    said = f"ca:\n  ledger: {where}\n  ledger_password: /etc/pw\n"
    path.write_text(sample.replace("ca:\n", said, 1))
    ledger = load(path).ledger
    assert ledger is not None
    assert (ledger.url, ledger.password) == (where, "/etc/pw")


def test_token_service_is_told_its_options(tmp_path: Path, sample: str) -> None:
    """Store, times of its keys, address and rates reach the token service alone."""
    path = tmp_path / "topology.yml"
    path.write_text(sample.replace("  port: 8440\n", f"  port: 8440{STORED}"))
    topology = load(path)
    config = config_of(topology, "token-service", tmp_path)
    assert isinstance(config, TokenServiceConfig)
    assert config.store is not None
    assert config.store.startswith("rediss://certbound@redis.shop.internal:6379/0")
    assert config.store_password == Path("/etc/certbound/redis-password")
    assert (config.key_rotation, config.key_lead) == (7 * 86400, 7200)
    assert config.mtls_base == "https://mtls.shop.internal"
    assert config.rates == Rates(token=Rate(per_second=0.5, burst=3))
    assert config_of(topology, "orders", tmp_path).store is None


def test_store_of_a_service_is_its_own(tmp_path: Path, sample: str) -> None:
    """Services and gateways may each have a store for the proofs they have seen."""
    path = tmp_path / "topology.yml"
    path.write_text(
        sample.replace("port: 8443\n", "port: 8443\n    store: unix:///run/redis\n")
        .replace("port: 8444\n", "port: 8444\n    store: redis://localhost\n")
        .replace("    store: redis", "    store_password: /etc/pw\n    store: redis")
    )
    topology = load(path)
    assert config_of(topology, "stock", tmp_path).store == "unix:///run/redis"
    edge = config_of(topology, "edge", tmp_path)
    assert (edge.store, edge.store_password) == ("redis://localhost", Path("/etc/pw"))
    assert config_of(topology, "token-service", tmp_path).store is None


PROXIES = """
proxies:
  front: { kind: nginx, hosts: [localhost], port: 8446, service: orders, user: www }
  side: { kind: envoy, hosts: [localhost], port: 8447, service: edge, program: /envoy }
"""


def test_proxy_has_an_identity_and_is_believed(tmp_path: Path, sample: str) -> None:
    """Who is behind it takes its word, and proofs made for its address; we run none."""
    path = tmp_path / "topology.yml"
    path.write_text(sample + PROXIES)
    topology = load(path)
    assert "front@localhost" in policy_of(topology).identities
    held = [one["identity"] for one in identities(topology, "localhost", PLACES)]
    assert held[-2:] == ["front@localhost", "side@localhost"]
    run = [one["name"] for one in processes(topology, "localhost", PLACES)]
    assert {"front", "side"}.isdisjoint(run)
    orders = config_of(topology, "orders", tmp_path)
    assert isinstance(orders, ServiceConfig)
    assert [(hop.form, hop.binding, hop.spiffe_id) for hop in orders.trusted_hops] == [
        ("client-cert", "hop", "spiffe://shop.internal/service/edge"),
        ("client-cert", "caller", "spiffe://shop.internal/service/front"),
    ]
    assert orders.guard.origins[2:] == [
        "https://front.shop.internal:8446",
        "https://localhost:8446",
    ]
    edge = config_of(topology, "edge", tmp_path)
    assert [hop.form for hop in edge.trusted_hops] == ["xfcc"]
    assert config_of(topology, "stock", tmp_path).trusted_hops == ()
    assert "service/front" not in json.dumps(deployment(topology, PLACES))


def test_proxy_is_told_what_is_behind_it(tmp_path: Path, sample: str) -> None:
    """Its configuration leads to the origin by address, and knows it by its names."""
    path = tmp_path / "topology.yml"
    path.write_text(sample + PROXIES)
    front, side = proxies(load(path), "localhost", PLACES)
    assert front == {
        "kind": "nginx",
        "program": "/usr/sbin/nginx",
        "user": "www",
        "directory": "/srv/kit/certs/proxies/front",
        "identity": "/srv/kit/certs/services/front/identity/current",
        "sites": [
            {
                "name": "front",
                "address": "127.0.0.1",
                "port": 8446,
                "origin_address": "127.0.0.1",
                "origin_port": 8442,
                "origin_dns_name": "orders.shop.internal",
                "origin_spiffe_id": "spiffe://shop.internal/service/orders",
            }
        ],
    }
    assert (side["program"], side["user"]) == ("/envoy", None)


def test_deployment_is_described_for_machines(
    topology: Topology, tmp_path: Path
) -> None:
    """The description holds what issue 2 lists, with paths relative to the project."""
    description = deployment(topology, PLACES)
    assert description["issuer"] == "https://localhost:8440"
    assert description["metadata_url"] == (
        "https://localhost:8440/.well-known/oauth-authorization-server"
    )
    orders = description["services"]["orders"]
    assert orders["url"] == "https://localhost:8442/orders"
    assert orders["calls"] == [{"service": "stock", "scopes": ["stock.read"]}]
    assert orders["private_key"] == "certs/services/orders/identity/current/key.pem"
    assert set(orders) >= {
        *("url", "spiffe_id", "dns_names", "address", "port", "certificate"),
        *("private_key", "audience", "scopes", "client_id", "calls"),
    }
    path = tmp_path / "deployment.json"
    path.write_text(json.dumps(description))
    read = read_deployment(path, Path("/srv/kit"))
    assert read.trust_bundle.is_absolute()


def test_root_elsewhere_is_named_whole(topology: Topology) -> None:
    """A roll-out outside the project is described by absolute paths."""
    places = Places(PurePosixPath("/srv/kit"), PurePosixPath("/var/lib/kit"))
    orders = deployment(topology, places)["services"]["orders"]
    assert orders["certificate"].startswith("/var/lib/kit/services/orders/")


def test_without_drill_nothing_of_it_is_described(topology: Topology) -> None:
    """A topology that has no drill has none in its description either."""
    assert "drill" in deployment(topology, PLACES)
    assert "drill" not in deployment(replace(topology, drill=None), PLACES)


def test_each_host_gets_its_own(spread: Topology) -> None:
    """Over two hosts, each service has an identity and a process on each of its own."""
    names = [i["identity"] for i in identities(spread, "two", PLACES)]
    assert names == ["token-service@two", "orders@two"]
    assert [p["address"] for p in processes(spread, "two", PLACES)] == [
        "10.0.0.2",
        "10.0.0.2",
    ]
    assert len(policy_of(spread).identities) == 8
    # A host's own name outside the domain must be permitted by name.
    assert ca_policy(spread)["permitted_dns"] == [
        "shop.internal",
        "two.example.test",
    ]
    assert spread.dns_names("orders", "two") == [
        "orders.shop.internal",
        "two.example.test",
    ]


def test_a_service_on_two_hosts_is_called_by_its_own_name(spread: Topology) -> None:
    """The name resolves to both; each host's own name is for the verification."""
    description = deployment(spread, PLACES)
    orders = "https://orders.shop.internal:8442/orders"
    assert description["services"]["orders"]["url"] == orders
    assert description["services"]["stock"]["url"].startswith("https://one.shop.")
    assert [
        one["url"] for one in description["instances"] if one["service"] == "orders"
    ] == [
        "https://one.shop.internal:8442/orders",
        "https://two.example.test:8442/orders",
    ]


def test_replicas_know_each_other(spread: Topology, tmp_path: Path) -> None:
    """Each publishes the others' keys, which it gets where only own keys are."""
    config = config_of(spread, "token-service", tmp_path)
    assert isinstance(config, TokenServiceConfig)
    assert [replica.jwks_uri for replica in config.replicas] == [
        "https://two.example.test:8440/jwks/own"
    ]


def test_one_token_service_has_no_replicas(topology: Topology) -> None:
    """On one host nothing is said of others."""
    document = process_document(topology, "token-service", "localhost", PLACES)
    assert "replicas" not in document


def test_each_instance_may_have_a_user_of_its_own(spread: Topology) -> None:
    """With systemd files have owners; a long name is cut, and stays one's own."""
    places = Places(PLACES.project, PLACES.root, own_users=True)
    (_, orders) = identities(spread, "two", places)
    assert orders["owner"] == "certbound-orders"
    assert {one["name"] for one in accounts(spread, "one", places)} >= {
        "certbound-ca",
        "certbound-token-service",
    }
    assert identities(spread, "two", PLACES)[1]["owner"] is None
    long = [user_of("a" * 40), user_of("a" * 41)]
    assert len(set(long)) == 2
    assert all(len(name) <= 31 for name in long)


def test_groups_are_named_as_ansible_likes_it() -> None:
    """A group has no hyphen, and is no host's name by accident."""
    assert group_of("order-desk") == "service_order_desk"
    assert group_of("token-service") == "token_service"
