"""Tests of `services.wire.tls`: who is let in beside the owners of our certificates."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from services.wire.forwarded import ForwardedCertificate
from services.wire.hops import Hop
from services.wire.peer import PeerError, peer_of
from tests.services.logged import lines
from tests.services.mesh import Instance, Mesh, now, serve, until
from tests.services.proxies.fields import client_cert
from tests.services.registered import Owner, written
from tests.services.wire.apps import answer, mirror

VICTIM = "spiffe://shop.internal/service/storefront"


@dataclass
class Fixed:
    """Anchors as a test wants them."""

    der: bytes = b""
    misses: int = 0

    def current(self) -> bytes:
        """Return them."""
        return self.der

    def missed(self) -> None:
        """Count."""
        self.misses += 1


@pytest.fixture(scope="module")
def callee(mesh: Mesh) -> Instance:
    """Return the service that is called."""
    return mesh.instance("token-service")


@contextmanager
def listening(callee: Instance, **settings: Any) -> Iterator[str]:
    """Serve, and return where."""
    with serve(mirror, callee, **settings) as running:
        yield running.url


def der(*certificates: x509.Certificate) -> bytes:
    """Return certificates as anchors."""
    return b"".join(each.public_bytes(Encoding.DER) for each in certificates)


def status(mesh: Mesh, url: str, shown: Path) -> int:
    """Return the answer to whoever shows what lies in a file; 0 is a refusal."""
    context = ssl.create_default_context(cadata=mesh.bundle_pem.decode())
    context.load_cert_chain(shown)
    with httpx.Client(verify=context, trust_env=False) as client:
        try:
            return client.get(url).status_code
        except httpx.TransportError:
            return 0


def own(directory: Path, owner: Owner) -> Path:
    """Return a file with a self-signed certificate and its key."""
    return written(directory, owner.key, owner.certificate)


@pytest.mark.parametrize("minimum", ["1.2", "1.3"])
@pytest.mark.parametrize("authority", [False, None], ids=["no-ca", "silent"])
def test_a_registered_certificate_gets_in(
    mesh: Mesh, callee: Instance, tmp_path: Path, minimum: Any, authority: Any
) -> None:
    """TLS lets in what is to be matched afterwards (RFC 8705, section 6.1)."""
    owner = Owner(authority=authority, signs=None)
    anchors = Fixed(der(owner.certificate))
    with listening(callee, anchors=anchors, tls_minimum=minimum) as url:
        assert status(mesh, url, own(tmp_path, owner)) == 200
    assert anchors.misses == 0


def test_the_owners_of_our_certificates_get_in_as_before(
    mesh: Mesh, callee: Instance, tmp_path: Path
) -> None:
    """One host serves both (RFC 8705, section 6.1)."""
    leaf = mesh.issue("storefront")
    ours = written(tmp_path, leaf.key, leaf.certificate, leaf.issuing)
    with listening(callee, anchors=Fixed(der(Owner().certificate))) as url:
        assert status(mesh, url, ours) == 200


def test_an_unknown_certificate_is_refused_and_noticed(
    mesh: Mesh, callee: Instance, tmp_path: Path
) -> None:
    """Its owner may just have published it: somebody should go and look."""
    anchors = Fixed(der(Owner().certificate))
    with listening(callee, anchors=anchors) as url:
        assert status(mesh, url, own(tmp_path, Owner())) == 0
        until(lambda: anchors.misses)
    assert anchors.misses == 1


def test_a_service_without_anchors_knows_no_self_signed_certificate(
    mesh: Mesh, callee: Instance, tmp_path: Path
) -> None:
    """What the token service admits is admitted nowhere else."""
    with listening(callee) as url:
        assert status(mesh, url, own(tmp_path, Owner())) == 0


@pytest.mark.parametrize(
    "faults",
    [
        {"authority": False, "signs": False},
        {"authority": False, "signs": None},
        {"authority": None, "signs": None},
        {"authority": None, "signs": False},
        {"authority": None, "signs": True},
        {"authority": False, "signs": True},
    ],
    ids=repr,
)
@pytest.mark.parametrize("with_issuer", [False, True])
def test_an_anchor_that_is_no_ca_can_sign_nobody(
    mesh: Mesh,
    callee: Instance,
    tmp_path: Path,
    faults: dict[str, Any],
    *,
    with_issuer: bool,
) -> None:
    """A registered client cannot make a certificate with another's name (F1)."""
    owner = Owner(**faults)
    key = ec.generate_private_key(ec.SECP256R1())
    chain = [owner.sign(VICTIM, key), *([owner.certificate] if with_issuer else [])]
    with listening(callee, anchors=Fixed(der(owner.certificate))) as url:
        assert status(mesh, url, written(tmp_path, key, *chain)) == 0


def test_an_anchor_that_is_a_ca_would_sign_anybody(
    mesh: Mesh, callee: Instance, tmp_path: Path
) -> None:
    """This is the trap of F1: why a registration refuses such a certificate."""
    owner = Owner(authority=True, signs=True)
    key = ec.generate_private_key(ec.SECP256R1())
    forged = written(tmp_path, key, owner.sign(VICTIM, key))
    with listening(callee, anchors=Fixed(der(owner.certificate))) as url:
        assert status(mesh, url, forged) == 200


def test_anchors_come_and_go_with_the_next_handshake(
    mesh: Mesh, callee: Instance, tmp_path: Path
) -> None:
    """A withdrawn certificate is refused at once, without a restart."""
    old, new = Owner(), Owner()
    anchors = Fixed(der(old.certificate))
    files = [own(tmp_path, owner) for owner in (old, new)]
    with listening(callee, anchors=anchors) as url:
        assert [status(mesh, url, shown) for shown in files] == [200, 0]
        anchors.der = der(old.certificate, new.certificate)
        assert [status(mesh, url, shown) for shown in files] == [200, 200]
        anchors.der = der(new.certificate)
        assert [status(mesh, url, shown) for shown in files] == [0, 200]


def test_anchors_that_cannot_be_read_change_nothing(
    mesh: Mesh, callee: Instance, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever got in before gets in still, and the log says why nobody new does."""
    owner = Owner()
    anchors = Fixed(der(owner.certificate))
    with listening(callee, anchors=anchors) as url:
        anchors.der = b"\x30\x03nonsense"
        assert status(mesh, url, own(tmp_path, owner)) == 200
    assert [line["event"] for line in lines(caplog)] == ["tls.generation_refused"]


def peer_name(scope: Any) -> str:
    """Return who is at the other end, as everything but the token endpoint asks."""
    try:
        peer = peer_of(scope, trust_domain="shop.internal", now=now())
    except PeerError as error:
        return type(error).__name__
    return str(peer.spiffe_id)


async def naming(scope: Any, receive: Any, send: Any) -> None:
    """Answer with who is asking."""
    if scope["type"] == "http":
        await answer(send, peer_name(scope))


def told(mesh: Mesh, url: str, shown: Path, **headers: str) -> httpx.Response:
    """Return the answer to whoever shows what lies in a file."""
    context = ssl.create_default_context(cadata=mesh.bundle_pem.decode())
    context.load_cert_chain(shown)
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(url, headers=headers)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_whoever_comes_by_an_anchor_is_no_peer(
    mesh: Mesh, callee: Instance, tmp_path: Path, loop: Any
) -> None:
    """An anchor's owner may write any name, and no service is called by it."""
    forger = Owner(uris=[VICTIM])
    leaf = mesh.issue("storefront")
    ours = written(tmp_path, leaf.key, leaf.certificate, leaf.issuing)
    anchors = Fixed(der(forger.certificate))
    with serve(naming, callee, anchors=anchors, loop=loop) as running:
        forged = told(mesh, running.url, own(tmp_path, forger)).json()
        assert (forged, told(mesh, running.url, ours).json()) == (
            "OutsidePeerError",
            VICTIM,
        )


def test_a_second_ca_of_our_name_makes_no_peers(
    mesh: Mesh, callee: Instance, tmp_path: Path
) -> None:
    """It is trusted for another trust domain, and could say any name of ours."""
    twin = Mesh(tmp_path / "twin")
    leaf = twin.issue("storefront")
    theirs = written(tmp_path, leaf.key, leaf.certificate, leaf.issuing)
    with serve(naming, callee, anchors=Fixed(der(twin.root))) as running:
        assert told(mesh, running.url, theirs).json() == "OutsidePeerError"


def test_a_hops_name_in_a_certificate_of_somebody_else_is_no_hop(
    mesh: Mesh, callee: Instance, tmp_path: Path
) -> None:
    """Else its owner could be a proxy, and so any caller whose certificate he has."""
    edge = mesh.spiffe_id("edge")
    leaf, forger = mesh.issue("edge"), Owner(uris=[str(edge)])
    hop = written(tmp_path, leaf.key, leaf.certificate, leaf.issuing)
    app = ForwardedCertificate(
        naming, identity=callee.live(), hops=lambda: [Hop("client-cert", edge, None)]
    )
    stolen = client_cert(mesh.issue("storefront").certificate).decode()
    with serve(app, callee, anchors=Fixed(der(forger.certificate))) as running:
        for shown, name in ((own(tmp_path, forger), "OutsidePeerError"), (hop, VICTIM)):
            seen = told(mesh, running.url, shown, **{"client-cert": stolen})
            assert seen.json() == name
