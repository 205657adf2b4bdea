"""The deployment's description: what machines read is what the topology says."""

import json
from urllib.parse import urlsplit

from tests.live.fleet import TOKEN_SERVICE, Fleet


def test_it_was_rolled_out_from_this_topology(fleet: Fleet) -> None:
    """What the last roll-out has described is what the inventory says now."""
    assert json.loads(fleet.deployment_file.read_text()) == fleet.deployment


def test_the_issuer_is_where_tokens_come_from(fleet: Fleet) -> None:
    """Endpoints, keys and metadata of the token service are at its issuer."""
    issuer = fleet.deployment["issuer"]
    party = fleet.deployment["token_service"]
    for url in (party["token_endpoint"], party["jwks_uri"]):
        assert url.startswith(f"{issuer}/")
    parts = urlsplit(issuer)
    metadata = urlsplit(fleet.deployment["metadata_url"])
    assert (metadata.scheme, metadata.netloc) == (parts.scheme, parts.netloc)


def test_every_process_has_its_identity(fleet: Fleet) -> None:
    """What is described are those that have identities, the CA's front among them."""
    described = {TOKEN_SERVICE, *fleet.services, *fleet.gateways}
    described |= {one["service"] for one in fleet.deployment["instances"]}
    assert {name.split("@")[0] for name in fleet.identities} == described
    assert described <= {*fleet.workloads, TOKEN_SERVICE, "enrolment"}


def test_a_service_is_where_it_says(fleet: Fleet, service: str) -> None:
    """Its URL has its port, over TLS, and a name that is in its certificate."""
    party = fleet.deployment["services"][service]
    url = urlsplit(party["url"])
    assert (url.scheme, url.port) == ("https", party["port"])
    assert url.hostname in party["dns_names"]


def test_a_service_has_an_audience_of_its_own(fleet: Fleet, service: str) -> None:
    """A token for it is a token for nobody else."""
    services = fleet.deployment["services"]
    audiences = [party["audience"] for party in services.values()]
    assert audiences.count(services[service]["audience"]) == 1


def test_a_service_asks_for_scopes_that_exist(fleet: Fleet, service: str) -> None:
    """Whom it calls offers the scopes that it calls with."""
    services = fleet.deployment["services"]
    for call in services[service]["calls"]:
        assert set(call["scopes"]) <= set(services[call["service"]]["scopes"])
