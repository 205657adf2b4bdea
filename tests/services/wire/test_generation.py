"""Tests of `services.wire.generation`: what counts as an identity, and when."""

import logging
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from pki.identity import SpiffeId
from services.wire.generation import (
    BUNDLE,
    CERTIFICATE,
    KEY,
    ExposedKeyError,
    Generation,
    GenerationError,
    LiveIdentity,
    MissingFileError,
    UnreadableFileError,
    UntrustedChainError,
    WrongIdentityError,
    WrongKeyError,
)
from tests.services.mesh import Instance, Mesh, now


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the seconds."""
        return self.now


@pytest.fixture
def orders(mesh: Mesh) -> Instance:
    """Return a fresh instance with one good generation."""
    return mesh.instance("orders")


def test_a_good_generation_is_read_whole(orders: Instance) -> None:
    """All that a generation says comes from the files behind the link."""
    generation = orders.generation
    assert generation.spiffe_id == orders.spiffe_id
    assert generation.directory == orders.current.resolve()
    assert generation.serial == int(generation.directory.name, 16)
    assert generation.not_after == generation.certificate.not_valid_after_utc
    der = generation.certificate.public_bytes(Encoding.DER)
    digest = urlsafe_b64encode(sha256(der).digest()).decode()
    assert generation.thumbprint == digest.rstrip("=")
    assert len(generation.thumbprint) == 43


@pytest.mark.parametrize("name", [KEY, CERTIFICATE, BUNDLE])
def test_a_missing_file_is_named(orders: Instance, name: str) -> None:
    """Each of the three files is needed, and the error names the one that lacks."""
    (orders.current / name).unlink()
    with pytest.raises(MissingFileError, match=name):
        _ = orders.generation


def test_a_link_to_nothing_is_refused(orders: Instance) -> None:
    """A link whose generation is gone is no identity."""
    orders.turn(orders.home / "generations" / "gone")
    with pytest.raises(MissingFileError, match="current"):
        _ = orders.generation


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_may_touch_is_refused(orders: Instance, mode: int) -> None:
    """The key must be its owner's alone, down to the last bit of the mode."""
    (orders.current / KEY).chmod(mode)
    with pytest.raises(ExposedKeyError, match="0600 is needed"):
        _ = orders.generation


@pytest.mark.parametrize("name", [KEY, CERTIFICATE, BUNDLE])
def test_a_file_that_is_no_pem_is_refused(orders: Instance, name: str) -> None:
    """A half-written file is refused, and what it holds is not repeated."""
    (orders.current / name).write_text("c2VjcmV0")
    with pytest.raises(UnreadableFileError, match=name) as refused:
        _ = orders.generation
    assert "c2VjcmV0" not in str(refused.value)


def test_an_encrypted_key_is_refused(mesh: Mesh, orders: Instance) -> None:
    """OpenSSL would ask the terminal for the passphrase of an encrypted key."""
    leaf = mesh.issue("orders")
    directory = orders.write(leaf)
    pem = leaf.key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")
    )
    (directory / KEY).write_bytes(pem)
    with pytest.raises(UnreadableFileError, match="no unencrypted PEM key"):
        Generation.load(directory, orders.spiffe_id)


def test_a_key_of_another_certificate_is_refused(mesh: Mesh, orders: Instance) -> None:
    """Key and certificate must belong together."""
    (orders.current / KEY).write_bytes(mesh.issue("orders").key_pem)
    with pytest.raises(WrongKeyError):
        _ = orders.generation


def test_a_certificate_with_a_key_of_no_known_kind_is_refused(
    orders: Instance,
) -> None:
    """A curve that nobody knows is refused, not an error that nobody expects."""
    file = orders.current / CERTIFICATE
    p_256, unknown = (bytes.fromhex("06082a8648ce3d0301" + end) for end in ("07", "7f"))
    der = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
    file.write_text(ssl.DER_cert_to_PEM_cert(der.replace(p_256, unknown)))
    with pytest.raises(UnreadableFileError, match="key of no known kind"):
        _ = orders.generation


def test_another_services_certificate_is_refused(mesh: Mesh, orders: Instance) -> None:
    """A good identity of another service is not this one's."""
    with pytest.raises(WrongIdentityError, match=r"service/orders, expected .*/stock"):
        Generation.load(orders.current, mesh.spiffe_id("stock"))


def test_a_certificate_with_two_uris_is_refused(orders: Instance) -> None:
    """Two URI names leave open who the instance is."""
    orders.renew(uris=[str(orders.spiffe_id), "spiffe://shop.internal/service/stock"])
    with pytest.raises(WrongIdentityError, match="2 URI names"):
        _ = orders.generation


def test_another_domains_bundle_is_refused(
    foreign_mesh: Mesh, mesh: Mesh, orders: Instance
) -> None:
    """A bundle that does not lead to the own certificate is somebody else's."""
    directory = orders.write(mesh.issue("orders"), bundle_pem=foreign_mesh.bundle_pem)
    with pytest.raises(UntrustedChainError, match="no valid path to a root"):
        Generation.load(directory, orders.spiffe_id)


def test_a_chain_without_its_issuing_ca_is_refused(orders: Instance) -> None:
    """Peers know the root only, so the issuing CA has to be presented."""
    leaf = orders.generation.certificate.public_bytes(Encoding.PEM)
    (orders.current / CERTIFICATE).write_bytes(leaf)
    with pytest.raises(UntrustedChainError):
        _ = orders.generation


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"usages": [ExtendedKeyUsageOID.CLIENT_AUTH]}, "not server and client"),
        ({"authority": True}, "no valid path"),
        ({"signs": True}, "keyCertSign"),
    ],
    ids=["client-only", "authority", "signs"],
)
def test_a_certificate_that_no_peer_would_trust_is_refused(
    orders: Instance, fault: dict[str, Any], reason: str
) -> None:
    """One judgement for the own certificate and for others': that of `pki.trust`."""
    orders.renew(**fault)
    with pytest.raises(UntrustedChainError, match=reason):
        _ = orders.generation


def test_a_bundle_that_holds_no_ca_is_refused(orders: Instance) -> None:
    """A leaf in the place of a root is trusted by nobody."""
    leaf = orders.generation.certificate.public_bytes(Encoding.PEM)
    (orders.current / BUNDLE).write_bytes(leaf)
    with pytest.raises(UntrustedChainError, match="no CA"):
        _ = orders.generation


def test_a_certificate_that_is_over_is_still_an_identity(orders: Instance) -> None:
    """A process that starts with it can say so; what it is worth, its peers decide."""
    long_ago = now() - timedelta(hours=2)
    orders.renew(not_before=long_ago, not_after=long_ago + timedelta(hours=1))
    assert orders.generation.not_after < now()


def test_a_first_generation_that_is_bad_is_an_error(
    mesh: Mesh, orders: Instance
) -> None:
    """Without an older generation there is nothing to go on with."""
    with pytest.raises(GenerationError):
        LiveIdentity(orders.current, mesh.spiffe_id("stock"))


def test_a_turned_link_is_followed_within_a_second(orders: Instance) -> None:
    """The disk is looked at once a second, and the new generation is taken whole."""
    clock = Clock()
    live = orders.live(clock)
    before = live.current()
    directory = orders.renew()
    clock.now += 0.9
    assert live.current() is before
    clock.now += 0.2
    assert live.current().directory == directory.resolve()
    assert live.current().thumbprint != before.thumbprint


def _wrong_key(instance: Instance) -> Path:
    directory = instance.write(instance.mesh.issue(instance.service))
    (directory / KEY).write_bytes(instance.mesh.issue(instance.service).key_pem)
    return directory


def _half_written(instance: Instance) -> Path:
    directory = instance.write(instance.mesh.issue(instance.service))
    (directory / BUNDLE).unlink()
    return directory


@pytest.mark.parametrize("spoiled", [_wrong_key, _half_written])
def test_a_bad_generation_leaves_the_old_one_in_place(
    orders: Instance,
    caplog: pytest.LogCaptureFixture,
    spoiled: Callable[[Instance], Path],
) -> None:
    """A generation that cannot be used changes nothing and is logged once."""
    clock = Clock()
    live = orders.live(clock)
    before = live.current()
    orders.turn(spoiled(orders))
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            clock.now += 1.5
            assert live.current() is before
    assert [record.getMessage() for record in caplog.records] == ["reload.refused"]
    good = orders.renew()
    clock.now += 1.5
    assert live.current().directory == good.resolve()


def test_a_repaired_generation_is_taken(orders: Instance) -> None:
    """What was refused for the mode of its key is taken once that is set right."""
    clock = Clock()
    live = orders.live(clock)
    directory = orders.write(orders.mesh.issue("orders"))
    (directory / KEY).chmod(0o644)
    orders.turn(directory)
    clock.now += 1.5
    assert live.current().directory != directory.resolve()
    (directory / KEY).chmod(0o600)
    clock.now += 1.5
    assert live.current().directory == directory.resolve()


def test_a_new_bundle_alone_is_another_generation(
    foreign_mesh: Mesh, orders: Instance
) -> None:
    """A root that was added is seen, although the certificate is the same."""
    clock = Clock()
    live = orders.live(clock)
    before = live.current()
    bundle = before.bundle_path.read_bytes() + foreign_mesh.bundle_pem
    staged = before.directory / "bundle.new"
    staged.write_bytes(bundle)
    staged.rename(before.bundle_path)
    clock.now += 1.5
    after = live.current()
    assert after.thumbprint == before.thumbprint
    assert after.bundle == sha256(bundle).hexdigest() != before.bundle


def test_the_name_is_compared_whole(orders: Instance) -> None:
    """A name of another trust domain with the same path is another name."""
    with pytest.raises(WrongIdentityError):
        Generation.load(orders.current, SpiffeId("other.internal", "/service/orders"))
