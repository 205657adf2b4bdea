"""Two roots, two topologies, real roll-outs: calls both ways, and what is refused.

The tests go through the fixture's states in the order they stand here: strangers first,
then federated.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from pki.path import UntrustedPathError
from pki.trust import TrustBundle, verify_chain
from tests.playbooks.two_domains import NAMES, Domain, emptied, two_domains
from tests.services.mesh import until

pytestmark = pytest.mark.rollout

BOTH = [NAMES, NAMES[::-1]]
Domains = dict[str, Domain]
NO_TOKEN = "x.y.z"
PATIENCE = 60.0  # seconds; a call starts a client, and a busy machine has many


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domains]:
    """Return two domains that have each other in their topology, and no bundle yet."""
    with two_domains(tmp_path_factory.mktemp("federation")) as domains:
        yield domains


@pytest.fixture(scope="module")
def domains(strangers: Domains) -> Domains:
    """Return them with each other's bundle, without a restart."""
    before = {name: domain.rolling.processes() for name, domain in strangers.items()}
    for own, other in BOTH:
        strangers[own].learn(strangers[other].published())
    for own in NAMES:
        until(lambda own=own: told(strangers[own]).status_code == 200, PATIENCE)  # type: ignore[misc]  # bound now
    after = {name: domain.rolling.processes() for name, domain in strangers.items()}
    assert after == before
    return strangers


def told(domain: Domain) -> httpx.Response:
    """Ask a domain's broker, which asks the other domain's catalogue."""
    return domain.call("catalogue", "broker", "/broker")


def asked_for_token(
    domain: Domain, shown: tuple[Path, Path], client_id: str
) -> httpx.Response:
    """Ask a token service for a token for its catalogue."""
    form = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "resource": f"https://catalogue.{domain.name}.test",
    }
    return domain.asked_with(
        "token-service", shown, method="POST", path="/token", data=form
    )


def own_files(domain: Domain, name: str) -> tuple[Path, Path]:
    """Return certificate and key of one of a domain's processes."""
    current = domain.rolling.root / "services" / name / "identity/current"
    return current / "certificate.pem", current / "key.pem"


def with_token(domain: Domain, shown: tuple[Path, Path], token: str) -> httpx.Response:
    """Ask a domain's catalogue with a certificate and a token."""
    headers = {"authorization": f"Bearer {token}"}
    return domain.asked_with(
        "catalogue", shown, method="GET", path="/stock", headers=headers
    )


@pytest.mark.parametrize("own", NAMES)
def test_without_a_bundle_nothing_is_trusted(strangers: Domains, own: str) -> None:
    """The topology alone opens nothing: neither side reaches or admits the other."""
    refused = told(strangers[own])
    assert refused.status_code == 502
    assert "is trusted" in refused.json()["error"]


@pytest.mark.parametrize(("own", "other"), BOTH)
def test_calls_go_both_ways(domains: Domains, own: str, other: str) -> None:
    """The broker calls over there with a token from there, under its own name."""
    answer = told(domains[own]).json()["abroad"]["their-catalogue"]
    assert answer["caller"] == str(domains[own].spiffe_id("broker"))
    assert answer["chain"] == [str(domains[own].spiffe_id("broker"))]


@pytest.mark.parametrize(("own", "other"), BOTH)
@pytest.mark.parametrize("at", ["own", "other"])
def test_a_ca_cannot_sign_for_the_other_domain(
    domains: Domains, own: str, other: str, at: str
) -> None:
    """One domain's CA signs a name of the other: refused in both, everywhere.

    TLS lets it in, at home and at whoever admits callers of that CA's domain; what
    refuses it is the bundle of the domain in its name. With a name of the CA's own
    domain the same certificate is good, and only the token is missed.
    """
    victim = domains[other].spiffe_id("broker")
    target = domains[own if at == "own" else other]
    forged = domains[own].forged(victim)
    refused = with_token(target, forged, NO_TOKEN)
    assert (refused.status_code, refused.json()["error_description"]) == (
        (401, "the client certificate of this connection is not valid")
    )
    client_id = "broker" if at == "other" else str(victim)
    assert asked_for_token(target, forged, client_id).status_code == 401
    named = domains[own].forged(domains[own].spiffe_id("broker"))
    certified = with_token(target, named, NO_TOKEN).json()["error_description"]
    assert "certificate" not in certified
    client_id = "broker" if at == "own" else str(domains[own].spiffe_id("broker"))
    assert asked_for_token(target, named, client_id).status_code != 401


@pytest.mark.parametrize(("own", "other"), BOTH)
def test_a_merged_pool_would_have_taken_it(
    domains: Domains, own: str, other: str
) -> None:
    """By both roots in one pool the forgery is the victim; by his domain's, nobody."""
    victim = domains[other].spiffe_id("broker")
    pem, _ = domains[own].forged(victim)
    chain = x509.load_pem_x509_certificates(pem.read_bytes())
    roots = {name: tuple(domains[name].roots()) for name in NAMES}
    pool = TrustBundle(victim.trust_domain, roots[own] + roots[other])
    now = datetime.now(UTC)
    assert verify_chain(chain, pool, now=now).names.spiffe_id == victim
    with pytest.raises(UntrustedPathError):
        verify_chain(chain, TrustBundle(victim.trust_domain, roots[other]), now=now)


@pytest.mark.parametrize(("own", "other"), BOTH)
def test_a_token_from_abroad_is_bound_as_at_home(
    domains: Domains, own: str, other: str
) -> None:
    """It opens the way to the certificate that it was asked for with, and to no other.

    Neither the thief in the caller's domain nor the one in the callee's gets anywhere.
    """
    token = domains[own].token("broker", "their-catalogue")
    there = domains[other]
    holder = with_token(there, own_files(domains[own], "broker"), token)
    assert holder.status_code == 200
    assert with_token(there, own_files(there, "broker"), token).status_code == 401
    neighbour = with_token(there, own_files(domains[own], "catalogue"), token)
    assert neighbour.status_code == 401


@pytest.mark.parametrize(("own", "other"), BOTH)
def test_only_named_callers_get_tokens(domains: Domains, own: str, other: str) -> None:
    """The neighbour of the one who may call is a stranger, with a good certificate."""
    neighbour = own_files(domains[own], "catalogue")
    name = str(domains[own].spiffe_id("catalogue"))
    assert asked_for_token(domains[other], neighbour, name).status_code == 401
    broker = str(domains[own].spiffe_id("broker"))
    assert asked_for_token(domains[other], neighbour, broker).status_code == 401
    named = own_files(domains[own], "broker")
    assert asked_for_token(domains[other], named, broker).status_code == 200


def test_an_empty_bundle_ends_all_of_it(domains: Domains) -> None:
    """No key is nothing to trust, within a second or two and without a restart."""
    west, bundle = domains["west"], domains["east"].published()
    west.learn(emptied(bundle))
    for caller in domains.values():
        until(lambda caller=caller: told(caller).status_code == 502, PATIENCE)  # type: ignore[misc]  # bound now
    west.learn(bundle)
    for caller in domains.values():
        until(lambda caller=caller: told(caller).status_code == 200, PATIENCE)  # type: ignore[misc]  # bound now
