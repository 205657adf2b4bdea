"""Root, issuing CA, every certificate and the signing key are replaced under load.

The CA's own phases and proofs, processes of the product, and what a roll-out does to a
host done by hand: one party after the other, with requests in between, so that every
mixture of old and new that a phase allows meets every other.
"""

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, rotation
from pki.clock import utc_now
from pki.keyring import Keyring
from pki.laggards import Evidence, Proof
from pki.pointers import signer_of
from pki.present import Present
from pki.rotation_steps import Phase, Waiver, What
from services.renewal.live import presented
from services.token.on_demand import on_demand
from tests.pki.builders import CHEAP, ISSUING_PASSPHRASE, ROOT_PASSPHRASE
from tests.services.flows.town import SERVED, Load, Town, customer, settle
from tests.services.mesh import Instance, Serve, until
from tests.services.running import client_of

FEWEST = 300  # requests of the customer, each of which makes two more
BETWEEN = 10  # requests between one party and the next
PARTIES = (*SERVED, "customer")
WAIVERS = (Waiver(identity="enrolment@localhost", reason="it does not run here"),)
PATIENCE = 5.0  # seconds for an answer


@dataclass
class Rotating:
    """A town, its load, and its CA while it is rotated."""

    town: Town
    load: Load
    ports: dict[str, int]

    @property
    def keyring(self) -> Keyring:
        """Return the CA's keys, the root's among them."""
        return Keyring(
            self.town.house.layout,
            issuing=lambda: ISSUING_PASSPHRASE,
            root=lambda: ROOT_PASSPHRASE,
        )

    def rotate(self) -> list[Phase]:
        """Go through all phases; return them."""
        layout = self.town.house.layout
        phases: list[Phase] = []
        standing = rotation.begin(
            layout, What.ROOT, keyring=self.keyring, run_id="run", cost=CHEAP
        ).after
        while standing.rotation is not None:
            phases.append(standing.rotation.phase)
            for name in PARTIES:
                self.bring(name, standing)
            if phases[-1] is Phase.DRAINING:
                self.replace_signing_key()
            proof = Proof([*map(self.evidence, PARTIES)], list(WAIVERS))
            moved = rotation.advance(layout, proof, keyring=self.keyring, run_id="run")
            standing = moved.after
        return phases

    def bring(self, name: str, standing: Present) -> None:
        """Give a party what the phase wants, and wait until it is presented."""
        instance, issuer = self.town.instances[name], standing.issuing
        if _roots(instance) == set(standing.roots) and _is_by(instance, issuer):
            return
        bundle = b"".join(root.public_bytes(Encoding.PEM) for root in standing.roots)
        leaf = self.town.house.issue(name)
        made = instance.write(leaf, bundle_pem=bundle)
        chain = (leaf.certificate, *standing.chain)
        pem = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
        (made / "certificate.pem").write_bytes(pem)
        instance.turn(made)
        serial = leaf.certificate.serial_number
        until(lambda: self.presented(name) == serial, 30)
        most = self.load.count + BETWEEN
        until(lambda: self.load.count > most, 60)

    def presented(self, name: str) -> int | None:
        """Return the serial that a party's port presents."""
        return presented(
            self.town.instances[name].generation,
            address="127.0.0.1",
            port=self.ports[name],
            patience=PATIENCE,
        )

    def evidence(self, name: str) -> Evidence:
        """Return what a party shows."""
        instance = self.town.instances[name]
        present = instance.generation
        return Evidence(
            identity=f"{name}@localhost",
            roots=[root.fingerprint(SHA256()).hex() for root in _roots(instance)],
            issuer=signer_of(present.certificate) or "",
            serial=format(present.serial, "x"),
            live=self.presented(name) == present.serial,
        )

    def replace_signing_key(self) -> None:
        """Publish the next key, see that every guard knows it, let it sign."""
        path = self.town.directory / "token-service.json"
        waiting = on_demand(path, "publish", utc_now())["waiting"]
        for name in ("stock", "orders", "storefront"):
            until(partial(self.knows, name, str(waiting)), 30)
        assert on_demand(path, "begin", utc_now())["signing"] == waiting

    def knows(self, name: str, key_id: str) -> bool:
        """Return whether a guard says that it knows a signing key."""
        own = self.town.instances[name]
        with client_of(own, own, base_url=self.town.url(name)) as client:
            return f'certbound_known_key{{key_id="{key_id}"}} 1.0' in (
                client.get("/metrics").text
            )


def _roots(instance: Instance) -> set[x509.Certificate]:
    pem = (instance.current / "bundle.pem").read_bytes()
    return set(x509.load_pem_x509_certificates(pem))


def _is_by(instance: Instance, issuer: x509.Certificate) -> bool:
    of = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return signer_of(instance.generation.certificate) == of.digest.hex()


@pytest.fixture
def rotating(tmp_path: Path, serve: Serve, stack: ExitStack) -> Rotating:
    """Return a town whose certificates are fresh, with a load that has not begun."""
    town = settle(tmp_path, age=timedelta(0))
    town.open(stack)
    _path, load = customer(town, serve, stack)
    ports = {**town.ports, "customer": load.workload.config.port}
    return Rotating(town, load, ports)


def test_everything_is_replaced_under_load(
    rotating: Rotating, capsys: pytest.CaptureFixture[str]
) -> None:
    """No moment exists in which two of them distrust each other."""
    town, load = rotating.town, rotating.load
    before = {name: town.instances[name].generation for name in PARTIES}
    old = authority.look(town.house.layout)

    async def drive() -> list[Phase]:
        loop = asyncio.get_running_loop()
        driving = asyncio.ensure_future(load.run())
        try:
            phases = await loop.run_in_executor(None, rotating.rotate)
            most = max(load.count + 50, FEWEST)
            await loop.run_in_executor(None, until, lambda: load.count > most, 60)
        finally:
            load.ends = True
            await driving
        return phases

    phases = asyncio.run(drive())
    assert phases == list(Phase)[1:6]
    new = authority.look(town.house.layout)
    assert {old.root, old.issuing}.isdisjoint({new.root, new.issuing})
    for name in PARTIES:
        instance = town.instances[name]
        assert _roots(instance) == {new.root}
        assert _is_by(instance, new.issuing)
        assert instance.generation.serial != before[name].serial
    assert load.failures == []
    assert load.count > FEWEST
    with capsys.disabled():
        print(  # noqa: T201 - the count is what this test shows
            f"\n{load.count} requests through a rotation of the root and the signing "
            f"key, {len(load.failures)} failed"
        )
