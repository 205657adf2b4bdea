"""Tests of clients that a CA vouches for: by a name, or by a SPIFFE ID."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.services.documents import client_document
from tests.services.many_clients import (
    ATTRIBUTES,
    AUTHORITY,
    NAMED,
    cause,
    confirmed,
    connected,
    every_method,
    issued,
    owned,
    partner_leaf,
    post,
    self_signed,
)
from tests.services.mesh import Instance, Mesh, Serve
from tests.services.registered import (
    Owner,
    error_of,
)
from tests.services.running import (
    Tokens,
    token_service,
)


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Return a CA whose certificates have the names of ours, and other keys."""
    return Mesh(tmp_path_factory.mktemp("twin"))


@pytest.fixture(scope="module")
def tokens(
    mesh: Mesh,
    foreign_mesh: Mesh,
    twin: Mesh,
    serve: Serve,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Tokens]:
    """Return a token service that has clients of every method."""
    home = tmp_path_factory.mktemp("tokens")
    with every_method(mesh, foreign_mesh, twin, serve, home) as running:
        yield running


@pytest.fixture(scope="module")
def storefront(mesh: Mesh) -> Instance:
    """Return an instance with a certificate of our own CA."""
    return mesh.instance("storefront")


def test_a_registered_certificate_with_a_borrowed_name_is_nobody(
    mesh: Mesh, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its owner could write any name into it; no CA has vouched for that one."""
    thief = Owner(uris=[str(mesh.spiffe_id("storefront"))])
    own = {"storefront": client_document(), "thief": self_signed(thief)}
    with (
        token_service(mesh, serve, tmp_path, clients=own) as tokens,
        owned(tokens, thief) as client,
    ):
        assert post(client, client_id="thief").status_code == 200
        caplog.clear()
        assert error_of(post(client))[0] == 401
    assert cause(caplog) == "UntrustedIssuerError"


def test_a_second_trusted_ca_of_the_same_name_mints_no_client(
    tokens: Tokens, twin: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """TLS trusts it for another trust domain; names of CAs prove nothing."""
    with issued(twin, tokens, "storefront") as client:
        assert error_of(post(client))[0] == 401
    assert cause(caplog) == "UntrustedIssuerError"


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_each_attribute_names_a_client_of_another_pki(
    tokens: Tokens, name: str
) -> None:
    """Its roots are those of the trust domain that the registration names."""
    with connected(tokens, *partner_leaf()) as client:
        assert post(client, client_id=name).status_code == 200


@pytest.mark.parametrize(
    ("client_id", "expected"),
    [
        ("wrong-name", "WrongSubjectError"),
        ("wrong-domain", "UnnamedWorkloadError"),
        ("storefront", "UnnamedWorkloadError"),
        ("partner", "UnregisteredCertificateError"),
        ("nobody", "UnknownClientError"),
    ],
)
def test_it_names_no_other_client(
    tokens: Tokens, client_id: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither another name, nor the same under other roots."""
    with connected(tokens, *partner_leaf()) as client:
        assert error_of(post(client, client_id=client_id)) == (401, "invalid_client")
    assert cause(caplog) == expected


def test_our_own_certificate_is_none_of_another_pki(
    tokens: Tokens, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """A client of the partner's is not authenticated by our roots."""
    assert error_of(tokens.ask(storefront, client_id="san_dns"))[0] == 401
    assert cause(caplog) == "OtherTrustDomainError"


def test_a_subject_alone_will_do(tokens: Tokens) -> None:
    """Another PKI may write no alternative names at all (RFC 8705, 2.1.2)."""
    key = ec.generate_private_key(ec.SECP256R1())
    leaf = AUTHORITY._signed(NAMED, key, [], None)
    with connected(tokens, key, leaf) as client:
        assert post(client, client_id="subject_dn").status_code == 200


def test_a_ca_is_no_client(tokens: Tokens, caplog: pytest.LogCaptureFixture) -> None:
    """Who may sign others does not speak for one of them."""
    with owned(tokens, AUTHORITY) as client:
        assert error_of(post(client, client_id="subject_dn"))[0] == 401
    assert cause(caplog) == "UnusableCertificateError"


def test_a_spiffe_id_is_a_client_id(tokens: Tokens, mesh: Mesh) -> None:
    """The name in the certificate is the client's."""
    spiffe_id = str(mesh.spiffe_id("orders"))
    assert confirmed(tokens.ask(mesh.instance("orders"), client_id=spiffe_id))


def test_the_bundle_is_that_of_its_trust_domain(
    tokens: Tokens, foreign_mesh: Mesh
) -> None:
    """A workload of another trust domain is verified by that domain's roots."""
    spiffe_id = str(foreign_mesh.spiffe_id("orders"))
    with issued(foreign_mesh, tokens, "orders") as client:
        assert post(client, client_id=spiffe_id).status_code == 200


def test_another_spiffe_id_is_another_client(
    tokens: Tokens, mesh: Mesh, storefront: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    """The certificate's SPIFFE ID must be the client id, to the letter."""
    spiffe_id = str(mesh.spiffe_id("orders"))
    assert error_of(tokens.ask(storefront, client_id=spiffe_id))[0] == 401
    assert cause(caplog) == "WrongSubjectError"


def test_a_certificate_without_spiffe_id_is_no_workload(
    tokens: Tokens, mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """No name is no client."""
    spiffe_id = str(mesh.spiffe_id("orders"))
    with connected(tokens, *partner_leaf()) as client:
        assert error_of(post(client, client_id=spiffe_id))[0] == 401
    assert cause(caplog) == "WrongSubjectError"


def test_a_spiffe_id_of_the_wrong_ca_is_refused(
    tokens: Tokens, mesh: Mesh, twin: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    """A trust domain's IDs are issued under its own roots."""
    with issued(twin, tokens, "orders") as client:
        answer = post(client, client_id=str(mesh.spiffe_id("orders")))
    assert error_of(answer)[0] == 401
    assert cause(caplog) == "UntrustedIssuerError"
