"""Tests of `services.wire.federation`: each domain's bundle speaks for that domain.

Every certificate here is one that a CA of a trust domain could sign. Two domains are
federated with ours, so that TLS knows one pool of three roots; what is tried is what
such a pool would take.
"""

import asyncio
import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_pem_private_key,
)

from pki import profiles
from pki.bundle import SpiffeBundle, read_bundle, write_spiffe
from pki.identity import SpiffeId
from services.federation_config import FederatedDomain
from services.revocation_config import RevocationConfig
from services.wire.checked import CheckedCertificate
from services.wire.client import IdentityTransport
from services.wire.federation import Federation
from services.wire.generation import Generation, LiveIdentity
from services.wire.peer import PeerError, peer_of
from services.wire.status import CertificateStatus
from tests.services.mesh import Instance, Leaf, Mesh, now, serve
from tests.services.registered import written
from tests.services.running import Clock
from tests.services.shelf import Shelf, shelf
from tests.services.wire.apps import answer, mirror

OURS, PARTNER, THIRD = "shop.internal", "other.internal", "third.internal"
CALLER = f"spiffe://{PARTNER}/service/buyer"


@pytest.fixture(scope="module")
def third_mesh(tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Return a third trust domain, federated with ours, too."""
    return Mesh(tmp_path_factory.mktemp("third"), THIRD)


@dataclass
class House:
    """A service of ours that is federated with two other domains."""

    mesh: Mesh
    partner: Mesh
    directory: Path
    said: dict[str, FederatedDomain]
    instance: Instance
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.federation = Federation(lambda: self.said, monotonic=self.clock.seconds)

    def bundle(self, domain: str, content: bytes | None) -> None:
        """Replace the file of a domain, or take it away; it is seen at once."""
        path = self.said[domain].bundle
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        self.clock.move(seconds=2)

    @contextmanager
    def listening(self) -> Iterator[str]:
        """Serve an application that says who is calling, and return where."""

        async def naming(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                await answer(send, self.name(scope))
                return
            for step in ("startup", "shutdown"):  # lists are followed in between
                await receive()
                await send({"type": f"lifespan.{step}.complete"})

        checked = CheckedCertificate(
            naming,
            status=CertificateStatus(lambda: None),
            trust_domain=OURS,
            others=self.federation,
        )
        with serve(checked, self.instance, anchors=self.federation) as running:
            yield running.url

    def name(self, scope: Any, moment: timedelta = timedelta(0)) -> str:
        """Return who is calling, or why that is nobody."""
        try:
            peer = peer_of(
                scope, trust_domain=OURS, now=now() + moment, others=self.federation
            )
        except PeerError as error:
            return type(error).__name__
        return str(peer.spiffe_id)


@pytest.fixture
def house(mesh: Mesh, foreign_mesh: Mesh, third_mesh: Mesh, tmp_path: Path) -> House:
    """Return a service that the buyers of two other domains may call."""
    said = {}
    for other in (foreign_mesh, third_mesh):
        path = tmp_path / f"{other.trust_domain}.pem"
        path.write_bytes(other.bundle_pem)
        caller = str(other.spiffe_id("buyer"))
        said[other.trust_domain] = FederatedDomain(bundle=path, callers=(caller,))
    return House(mesh, foreign_mesh, tmp_path, said, mesh.instance("orders"))


def calls(house: House, url: str, leaf: Leaf) -> str:
    """Return who the service sees when somebody calls with a certificate."""
    context = ssl.create_default_context(cadata=house.mesh.bundle_pem.decode())
    shown = written(house.directory, leaf.key, leaf.certificate, leaf.issuing)
    context.load_cert_chain(shown)
    with httpx.Client(verify=context, trust_env=False) as client:
        try:
            return str(client.get(url).json())
        except httpx.TransportError:
            return "no connection"


def spiffe_document(mesh: Mesh, *roots: x509.Certificate) -> bytes:
    """Return a SPIFFE bundle of a domain's roots."""
    trust = read_bundle(mesh.trust_domain, mesh.bundle_pem).trust
    bundle = SpiffeBundle(type(trust)(mesh.trust_domain, roots or trust.roots), 1, 300)
    return json.dumps(write_spiffe(bundle)).encode()


def test_a_caller_of_a_federated_domain_is_a_peer(house: House) -> None:
    """Its own domain's bundle vouches for it; our own are peers as before."""
    with house.listening() as url:
        assert calls(house, url, house.partner.issue("buyer")) == CALLER
        ours = calls(house, url, house.mesh.issue("storefront"))
        assert ours == str(house.mesh.spiffe_id("storefront"))


def test_a_spiffe_bundle_serves_as_pem_does(house: House) -> None:
    """Either form of the file is read."""
    house.bundle(PARTNER, spiffe_document(house.partner))
    with house.listening() as url:
        assert calls(house, url, house.partner.issue("buyer")) == CALLER


@pytest.mark.parametrize(
    ("signer", "named", "refusal"),
    [
        ("partner", f"spiffe://{OURS}/service/storefront", "OutsidePeerError"),
        ("partner", f"spiffe://{THIRD}/service/buyer", "UntrustedForeignerError"),
        ("third", CALLER, "UntrustedForeignerError"),
        ("ours", CALLER, "UntrustedForeignerError"),
        ("ours", "spiffe://fourth.internal/service/buyer", "WrongTrustDomainError"),
        ("partner", "spiffe://fourth.internal/service/buyer", "OutsidePeerError"),
        ("partner", f"spiffe://{PARTNER}/service/other", "NoCallerError"),
    ],
)
def test_no_domain_speaks_for_another(
    house: House, third_mesh: Mesh, signer: str, named: str, refusal: str
) -> None:
    """TLS lets each of these in, by one pool; the bundle of the name's domain does not.

    Every certificate is good but for the name in it: the same one with a name of its
    signer's domain is a peer's.
    """
    signers = {"partner": house.partner, "third": third_mesh, "ours": house.mesh}
    with house.listening() as url:
        forged = signers[signer].issue("buyer", uris=[named])
        assert calls(house, url, forged) == refusal
        own = str(signers[signer].spiffe_id("buyer"))
        assert calls(house, url, signers[signer].issue("buyer", uris=[own])) == own


def test_one_merged_pool_would_have_taken_the_forgery(
    house: House, third_mesh: Mesh
) -> None:
    """The same certificate, where all roots are ours: this is why there is no pool."""
    merged = house.mesh.bundle_pem + house.partner.bundle_pem + third_mesh.bundle_pem
    victim = str(house.mesh.spiffe_id("storefront"))
    forged = house.partner.issue("buyer", uris=[victim])
    leaf = house.mesh.issue("orders")
    house.instance.turn(house.instance.write(leaf, bundle_pem=merged))
    naive = House(house.mesh, house.partner, house.directory, {}, house.instance)
    with naive.listening() as url:
        assert calls(naive, url, forged) == victim


def test_a_domain_without_callers_is_not_let_in(house: House) -> None:
    """Who is only called here has no business on this listener."""
    house.said[PARTNER] = FederatedDomain(bundle=house.said[PARTNER].bundle)
    with house.listening() as url:
        leaf = house.partner.issue("buyer")
        assert calls(house, url, leaf) == "no connection"


@pytest.mark.parametrize(
    "content",
    [None, b"", b'{"keys": []}', b"nonsense", b"-----BEGIN CERTIFICATE-----\nMII"],
    ids=["missing", "empty", "no keys", "nonsense", "cut off"],
)
def test_a_bad_bundle_trusts_nothing_of_its_domain(
    house: House, third_mesh: Mesh, content: bytes | None
) -> None:
    """Nothing is better than what was good before; and nobody else is harmed."""
    with house.listening() as url:
        assert calls(house, url, house.partner.issue("buyer")) == CALLER
        house.bundle(PARTNER, content)
        assert calls(house, url, house.partner.issue("buyer")) == "no connection"
        other = str(third_mesh.spiffe_id("buyer"))
        assert calls(house, url, third_mesh.issue("buyer")) == other
        house.bundle(PARTNER, house.partner.bundle_pem)
        assert calls(house, url, house.partner.issue("buyer")) == CALLER


def test_a_bundle_in_the_wrong_place_trusts_nothing(house: House) -> None:
    """The third domain's roots under the partner's name would merge the two."""
    assert house.federation.bundle(PARTNER).roots
    key = ec.generate_private_key(ec.SECP256R1())
    root = profiles.root(
        key.public_key(), trust_domain=THIRD, lifetime=timedelta(days=1), now=now()
    ).sign(key, SHA256())
    house.bundle(PARTNER, root.public_bytes(Encoding.PEM))
    assert not house.federation.bundle(PARTNER).roots
    house.bundle(THIRD, root.public_bytes(Encoding.PEM))
    assert house.federation.bundle(THIRD).roots == (root,)


def test_an_open_connection_ends_with_its_bundle(
    house: House, foreign_mesh: Mesh
) -> None:
    """The chain is looked at for each request, by the bundle of that moment."""
    leaf = foreign_mesh.issue("buyer")
    context = ssl.create_default_context(cadata=house.mesh.bundle_pem.decode())
    context.load_cert_chain(
        written(house.directory, leaf.key, leaf.certificate, leaf.issuing)
    )
    with (
        house.listening() as url,
        httpx.Client(verify=context, trust_env=False) as client,
    ):
        assert client.get(url).json() == CALLER
        house.bundle(PARTNER, b"")
        assert client.get(url).json() == "UntrustedForeignerError"


def test_a_chain_ends_with_the_first_certificate_in_it(house: House) -> None:
    """What was verified once is not good for longer than its dates."""
    leaf = house.partner.issue("buyer")
    scope: dict[str, Any] = {
        "type": "http",
        "extensions": {
            "tls": {
                "client_cert": leaf.certificate.public_bytes(Encoding.DER),
                "client_cert_chain": tuple(
                    each.public_bytes(Encoding.PEM).decode()
                    for each in (leaf.certificate, leaf.issuing)
                ),
            }
        },
    }
    assert house.name(scope) == CALLER
    assert house.name(scope, timedelta(minutes=59)) == CALLER
    late = house.name(scope, timedelta(hours=2))
    assert late == "UntrustedForeignerError"


@pytest.mark.parametrize("later", [0, 400])
def test_who_copies_our_roots_name_keeps_nobody_out(house: House, later: int) -> None:
    """OpenSSL finds issuers by name and key identifier; ours stand before others."""
    key, root = ec.generate_private_key(ec.SECP256R1()), house.mesh.root
    builder = (
        x509.CertificateBuilder()
        .subject_name(root.subject)
        .issuer_name(root.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(root.not_valid_before_utc)
        .not_valid_after(root.not_valid_after_utc + timedelta(days=later))
    )
    for extension in root.extensions:  # the key identifier among them
        builder = builder.add_extension(extension.value, extension.critical)
    copied = builder.sign(key, SHA256()).public_bytes(Encoding.PEM)
    house.bundle(PARTNER, copied + house.partner.bundle_pem)
    with house.listening() as url:
        ours = calls(house, url, house.mesh.issue("storefront"))
        assert ours == str(house.mesh.spiffe_id("storefront"))
        assert calls(house, url, house.partner.issue("buyer")) == CALLER


@dataclass(frozen=True)
class Fixed:
    """The roots by which the partner's service lets callers in."""

    der: bytes

    def current(self) -> bytes:
        """Return them."""
        return self.der

    def missed(self) -> None:
        """Do nothing."""


def served(mesh: Mesh, named: str) -> LiveIdentity:
    """Return the identity of a server with a name, as a CA may have signed it."""
    instance = mesh.instance("stock", uris=[named])
    return LiveIdentity(instance.current, SpiffeId.parse(named))


def reached(house: House, url: str, expected: str) -> str:
    """Return what our service sees when it calls one of the partner's."""

    async def call() -> str:
        transport = IdentityTransport(
            house.instance.live(),
            SpiffeId.parse(expected),
            lambda: house.federation.bundle(PARTNER),
            house.federation.status(PARTNER),
        )
        async with httpx.AsyncClient(transport=transport) as client:
            try:
                return str((await client.get(url)).status_code)
            except httpx.TransportError as error:
                return str(error)
            finally:
                await house.federation.aclose()

    return asyncio.run(call())


@pytest.mark.parametrize(
    ("signer", "outcome"),
    [
        ("partner", "200"),
        ("third", "unable to get local issuer certificate"),
        ("ours", "unable to get local issuer certificate"),
    ],
)
def test_a_callee_is_met_by_its_own_domains_bundle(
    house: House, third_mesh: Mesh, signer: str, outcome: str
) -> None:
    """On the way out there is no pool: not even our own CA can play the partner."""
    stock = f"spiffe://{PARTNER}/service/stock"
    signers = {"partner": house.partner, "third": third_mesh, "ours": house.mesh}
    anchors = Fixed(house.mesh.root.public_bytes(Encoding.DER))
    identity = served(signers[signer], stock)
    with serve(mirror, identity, anchors=anchors) as running:
        assert outcome in reached(house, running.url, stock)


def test_nobody_is_called_by_an_empty_bundle(house: House) -> None:
    """Nothing of the domain is trusted, so nothing of it is reached."""
    stock = f"spiffe://{PARTNER}/service/stock"
    anchors = Fixed(house.mesh.root.public_bytes(Encoding.DER))
    with serve(mirror, served(house.partner, stock), anchors=anchors) as running:
        assert reached(house, running.url, stock) == "200"
        house.bundle(PARTNER, None)
        refusal = reached(house, running.url, stock)
    assert f"nothing of {PARTNER} is trusted" in refusal


def test_a_callee_that_does_not_know_us_is_no_error_of_ours(house: House) -> None:
    """Its alert comes after our handshake, and is an error of HTTP as any other."""
    stock = f"spiffe://{PARTNER}/service/stock"
    with serve(mirror, served(house.partner, stock)) as running:
        assert "unknown ca" in reached(house, running.url, stock)


def test_another_domains_bundle_meets_nobody(house: House) -> None:
    """A context for one domain cannot be made of the roots of another."""
    fourth = "spiffe://fourth.internal/service/stock"
    with serve(mirror, served(house.partner, fourth)) as running:
        refusal = reached(house, running.url, fourth)
    assert "nothing of fourth.internal is trusted" in refusal


@pytest.fixture
def told(house: House) -> Iterator[Shelf]:
    """Return what the partner tells of revocations, where the service knows to ask."""
    with shelf(house.partner) as made:
        said = house.said[PARTNER]
        house.said[PARTNER] = FederatedDomain(
            bundle=said.bundle,
            callers=said.callers,
            revocation=RevocationConfig(url=made.url, bound=5.0),
        )
        made.publish()
        yield made


def test_a_domain_says_who_of_it_is_revoked(
    house: House, third_mesh: Mesh, told: Shelf
) -> None:
    """A caller of the partner's is looked up in the partner's lists, others are not."""
    revoked = house.partner.instance("buyer")
    told.publish(revoked)
    shown = revoked.generation
    with house.listening() as url:
        assert calls(house, url, house.partner.issue("buyer")) == CALLER
        third = str(third_mesh.spiffe_id("buyer"))
        assert calls(house, url, third_mesh.issue("buyer")) == third
        leaf = Leaf(_key_of(shown), shown.certificate, house.partner.issuing)
        assert calls(house, url, leaf) == "RevokedCertificateError"


def test_a_domain_that_tells_nothing_is_not_believed(house: House, told: Shelf) -> None:
    """Whose lists cannot be had, where they are asked for, is nobody."""
    told.code = 500
    with house.listening() as url:
        caller = calls(house, url, house.partner.issue("buyer"))
        assert caller == "StatusUnknownError"
        ours = calls(house, url, house.mesh.issue("storefront"))
        assert ours == str(house.mesh.spiffe_id("storefront"))


@pytest.mark.parametrize("revoked", [False, True])
def test_a_callee_is_looked_up_over_there(
    house: House, told: Shelf, *, revoked: bool
) -> None:
    """The partner's lists count for whom we call, before a byte goes out."""
    stock = f"spiffe://{PARTNER}/service/stock"
    instance = house.partner.instance("stock", uris=[stock])
    told.publish(*([instance] if revoked else []))
    anchors = Fixed(house.mesh.root.public_bytes(Encoding.DER))
    with serve(mirror, instance, anchors=anchors) as running:
        outcome = reached(house, running.url, stock)
    assert ("revoked" in outcome) is revoked
    assert (outcome == "200") is not revoked


def _key_of(generation: Generation) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(generation.key_path.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
