"""Tests of `services.renewal.directory`: files as the roll-out lays them out."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from services.renewal.directory import KEEP, REQUEST, Directory
from services.renewal.errors import OvertakenError
from services.renewal.exchange import request_for
from services.wire.generation import Generation
from tests.services.mesh import Instance, Leaf, Mesh, now


def install(instance: Instance, leaf: Leaf | None = None) -> Path:
    """Go through a whole installation, as an attempt does."""
    directory, over = Directory(instance.current), instance.generation.directory
    key = directory.pending_key()
    directory.write_request(request_for(key, instance.generation.certificate))
    leaf = leaf or instance.mesh.issue(instance.service, key=key)
    chain = (leaf.certificate, leaf.issuing)
    return directory.install(key, chain, instance.mesh.bundle_pem, over=over)


@pytest.fixture
def orders(mesh: Mesh) -> Instance:
    """Return an instance of its own."""
    return mesh.instance("orders")


def test_a_generation_is_as_the_roll_out_makes_it(orders: Instance) -> None:
    """Three private files, the link relative, nothing left that waited."""
    before = orders.generation
    made = install(orders)
    assert orders.generation != before
    assert orders.current.readlink() == Path("generations") / made.name
    assert made.name == format(orders.generation.serial, "x")
    names = {path.name: stat.S_IMODE(path.stat().st_mode) for path in made.iterdir()}
    assert names == dict.fromkeys(("key.pem", "certificate.pem", "bundle.pem"), 0o600)
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {path.name for path in orders.home.iterdir()} == {"current", "generations"}


def test_what_waits_is_private(orders: Instance) -> None:
    """The key before anything else."""
    directory = Directory(orders.current)
    key = directory.pending_key()
    directory.write_request(request_for(key, orders.generation.certificate))
    modes = {stat.S_IMODE(path.stat().st_mode) for path in directory.pending.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(directory.pending.stat().st_mode) == 0o700
    assert (directory.pending / REQUEST).exists()


def test_a_key_that_is_left_waits_on(orders: Instance) -> None:
    """Its request may have been answered already."""
    directory = Directory(orders.current)
    key = directory.pending_key()
    assert directory.pending_key().private_numbers() == key.private_numbers()


@pytest.mark.parametrize("left", [b"", b"-----BEGIN " + b"PRIVATE KEY-----\nMI"])
def test_half_a_key_is_worth_nothing(orders: Instance, left: bytes) -> None:
    """A new one takes its place."""
    directory = Directory(orders.current)
    directory.pending.mkdir()
    (directory.pending / "key.pem").write_bytes(left)
    made = directory.pending_key()
    pem = (directory.pending / "key.pem").read_bytes()
    assert load_pem_private_key(pem, None).public_key() == made.public_key()


def test_a_key_that_was_cleared_away_is_written_again(orders: Instance) -> None:
    """It is in memory, and the certificate for it is there."""
    directory, over = Directory(orders.current), orders.generation.directory
    key = directory.pending_key()
    (directory.pending / "key.pem").unlink()
    directory.pending.rmdir()
    leaf = orders.mesh.issue("orders", key=key)
    chain = (leaf.certificate, leaf.issuing)
    directory.install(key, chain, orders.mesh.bundle_pem, over=over)
    assert orders.generation.serial == leaf.certificate.serial_number


def test_a_generation_that_was_never_put_in_place_waits_again(
    orders: Instance,
) -> None:
    """A process died before it turned the link: the CA knows no other key now."""
    old, directory = orders.generation, Directory(orders.current)
    key = directory.pending_key()
    leaf = orders.mesh.issue("orders", key=key, not_before=now())
    made = install(orders, leaf)
    orders.turn(old.directory)
    assert directory.pending_key().public_key() == key.public_key()
    assert not made.exists()
    assert install(orders, leaf) == made
    assert orders.generation.serial == leaf.certificate.serial_number


def test_older_generations_rest(orders: Instance) -> None:
    """Their keys had their time."""
    first = orders.generation
    directory = Directory(orders.current)
    leaf = orders.mesh.issue("orders", key=directory.pending_key(), not_before=now())
    install(orders, leaf)
    assert directory.pending_key().public_key() != first.certificate.public_key()
    assert first.directory.exists()


def test_a_few_old_generations_stay(orders: Instance) -> None:
    """The newest, and the one in use beside them."""
    made = [install(orders) for _ in range(KEEP + 2)]
    left = {path.name for path in Directory(orders.current).generations.iterdir()}
    assert left == {path.name for path in made[-KEEP - 1 :]}


def test_whoever_was_first_stays(orders: Instance) -> None:
    """A generation that a play installed meanwhile is not turned away from."""
    directory, over = Directory(orders.current), orders.generation.directory
    key = directory.pending_key()
    leaf = orders.mesh.issue("orders", key=key)
    played = orders.renew()
    with pytest.raises(OvertakenError):
        directory.install(
            key, (leaf.certificate, leaf.issuing), orders.mesh.bundle_pem, over=over
        )
    assert orders.generation.directory == played


def test_a_generation_is_taken_back(orders: Instance) -> None:
    """The old one is in use again, the new key waits where it did."""
    old = orders.generation
    made = install(orders)
    key = (made / "key.pem").read_bytes()
    directory = Directory(orders.current)
    directory.take_back(made, old=old.directory)
    assert orders.generation == old
    assert [path.name for path in directory.pending.iterdir()] == ["key.pem"]
    assert (directory.pending / "key.pem").read_bytes() == key
    assert not made.exists()


def test_what_was_overtaken_is_not_taken_back(orders: Instance) -> None:
    """A play installed a third one while the port was asked."""
    old = orders.generation
    made = install(orders)
    played = orders.renew()
    with pytest.raises(OvertakenError):
        Directory(orders.current).take_back(made, old=old.directory)
    assert orders.generation.directory == played
    assert Generation.load(made, orders.spiffe_id).directory == made


def test_a_key_of_another_curve_is_not_waited_with(orders: Instance) -> None:
    """The CA would refuse it for ever."""
    directory = Directory(orders.current)
    directory.pending.mkdir()
    other = ec.generate_private_key(ec.SECP384R1())
    leaf = Leaf(other, orders.generation.certificate, orders.mesh.issuing)
    (directory.pending / "key.pem").write_bytes(leaf.key_pem)
    assert isinstance(directory.pending_key().curve, ec.SECP256R1)
